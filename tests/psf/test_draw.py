from psf.draw import draw_plan
from psf.patterns import Display
from psf.shooting import PlannedCamera, plan_shots


def test_page_holds_the_text_and_a_line_per_focus():
    camera = PlannedCamera(12.0, 2.8, 22.0, (3888, 5184), 3.36, 4)
    plan = plan_shots(camera, Display(), near_m=0.5, far_m=1.4, distances=6, focuses=3)
    figure = draw_plan(plan)
    assert len(figure.axes[0].lines) == 3 + 2
    assert any("Shooting plan" in one.get_text() for one in figure.texts)
    # All text lies on the paper.
    assert min(one.get_position()[1] for one in figure.texts) > 0.3
