import json

import pytest
import torch

from learn.photos import open_photos
from learn.sample_files import decode_record, encode_record, make_record, read_samples, write_samples
from learn.shards import list_shards, read_shard
from learn.synthesis import draw_sample, open_synthesis
from psf import InputError


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def same(one, other):
    return (
        torch.equal(one.input, other.input)
        and torch.equal(one.target, other.target)
        and torch.equal(one.depth_m, other.depth_m)
        and torch.equal(one.shot, other.shot)
        and one.drawn == other.drawn
    )


def test_samples_come_back_from_shards_to_the_bit(synthesis, tmp_path):
    run = write_samples(synthesis, tmp_path / "set", 5, per_shard=2, workers=0)
    assert run.shards.samples == 5
    assert len(list_shards(tmp_path / "set")) == 3
    for index, sample in enumerate(read_samples(tmp_path / "set")):
        expected = draw_sample(synthesis, index, with_depth=True)
        assert same(sample, expected)
        assert torch.equal(sample.metadata.rgb_to_camera, expected.metadata.rgb_to_camera)
        assert torch.equal(sample.metadata.brightening, expected.metadata.brightening)


def test_one_set_serves_every_choice_of_planes(synthesis, tmp_path):
    write_samples(synthesis, tmp_path / "set", 2, workers=0)
    other = synthesis.varied(aux="field", field_planes="xy")
    found = list(read_samples(tmp_path / "set", other.settings))
    assert torch.equal(found[1].input, draw_sample(other, 1).input)


def test_rgb_samples_come_back(synthesis, tmp_path):
    rgb = synthesis.varied(space="rgb")
    write_samples(rgb, tmp_path / "set", 2, workers=0)
    found = list(read_samples(tmp_path / "set"))
    assert same(found[1], draw_sample(rgb, 1, with_depth=True))
    with pytest.raises(InputError, match="sample 000000000: found rgb, expected a sample in space 'raw'"):
        list(read_samples(tmp_path / "set", synthesis.settings))


def test_every_number_stands_in_one_file(synthesis, tmp_path):
    write_samples(synthesis, tmp_path / "set", 3, per_shard=2, workers=0)
    told = json.loads((tmp_path / "set" / "samples.json").read_text())["samples"]
    assert [one["drawn"]["index"] for one in told] == [0, 1, 2]
    assert told[2]["drawn"]["iso"] == draw_sample(synthesis, 2).drawn.iso
    assert set(told[0]["metadata"]) == {"rgb_to_camera", "red_gain", "blue_gain", "brightening"}


def test_a_run_goes_on_where_it_stopped_and_ends_the_same(synthesis, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    write_samples(synthesis, whole, 5, per_shard=2, workers=0)
    write_samples(synthesis, broken, 5, per_shard=2, workers=0)
    (broken / "shard-000001.tar").unlink()
    (broken / "samples.json").unlink()
    kept_ns = (broken / "shard-000000.tar").stat().st_mtime_ns
    write_samples(synthesis, broken, 5, per_shard=2, workers=0)
    assert files(broken) == files(whole)
    assert (broken / "shard-000000.tar").stat().st_mtime_ns == kept_ns
    with pytest.raises(InputError, match="to go on with this run, or another folder"):
        write_samples(synthesis.varied(seed=5), broken, 5, per_shard=2, workers=0)


@pytest.mark.slow
def test_shards_are_the_same_with_any_number_of_workers(synthesis, tmp_path):
    for workers in (0, 2):
        write_samples(synthesis, tmp_path / str(workers), 6, per_shard=2, workers=workers)
    assert files(tmp_path / "0") == files(tmp_path / "2")


def test_one_bad_picture_leaves_out_its_samples_alone(photo_root, camera, patch_settings, tmp_path):
    import shutil

    root = shutil.copytree(photo_root, tmp_path / "photos")
    found = open_synthesis(open_photos(root), camera, patch_settings.changed(framing="centre"))
    (root / "b.png").write_bytes(b"not a picture any more")
    run = write_samples(found, tmp_path / "set", 6, per_shard=4, workers=0)
    assert set(run.shards.failed) == {1, 5}
    assert "b.png" in run.shards.failed[1]
    assert [one.drawn.index for one in read_samples(tmp_path / "set")] == [0, 2, 3, 4]


def test_a_record_is_what_the_sensor_recorded(synthesis):
    record = make_record(synthesis, 3)
    assert record["dn"].dtype == "uint16"
    assert record["dn"].max() <= 1023
    sample = draw_sample(synthesis, 3, with_depth=True)
    assert torch.equal(
        torch.from_numpy(record["dn"].astype("int32")), synthesis.camera.sensor.quantised(sample.input[:4]).int()
    )
    assert "depth_m" not in encode_record(draw_sample(synthesis, 3), synthesis.settings, synthesis.camera.sensor)


def test_another_kind_of_shard_is_refused(synthesis):
    with pytest.raises(InputError, match="found no synthetic sample"):
        decode_record({"__key__": "000000000", "input": torch.zeros(1)}, synthesis.settings)


def test_a_shard_holds_one_sample_after_another(synthesis, tmp_path):
    write_samples(synthesis, tmp_path / "set", 2, workers=0)
    keys = [record["__key__"] for record in read_shard(list_shards(tmp_path / "set")[0])]
    assert keys == ["000000000", "000000001"]
