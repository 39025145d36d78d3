"""Where two files differ, as the page shows it."""

from reports import synthetic_report

from edgecompress.report.html import render_html
from edgecompress.spec.looks import Answer, Calibration, Exemplar, Looks, Occlusion, Shown, Slice

HOSTILE = "<script>alert(1)</script>"


def test_pictures_curves_and_maps_are_shown_and_escaped() -> None:
    answers = Answer(name="cat", confidence=0.9), Answer(name=HOSTILE, confidence=None)
    picture = Shown(kind="image", png_base64="iVBORw0KGgo=")
    curve = Shown(kind="series", curve=(0.0, 1.0, 0.5))
    samples = [
        Exemplar(index=i, difference=2.0, label="l", before=answers[0], after=answers[1], shown=one)
        for i, one in enumerate((picture, curve, None))
    ]
    occluded = Occlusion(
        index=4,
        label="dog",
        before=((1.0, 0.25),),
        after=((0.0, 1.0),),
        agreement=0.5,
        shown=curve,
    )
    looks = Looks(
        samples=100,
        inferences=400,
        calibration=Calibration(
            bins=15,
            error_before=0.02,
            error_after=0.05,
            low=0.01,
            high=0.04,
            wrong_before=None,
            wrong_after=None,
        ),
        exemplars=tuple(samples),
        occlusions=(occluded,),
        slices=(Slice(name="dark", samples=25, drop=0.1, low=0.02, high=0.2),),
    )
    report = synthetic_report("20261122-121314-synthetic-3f9a")
    html = render_html(report.model_copy(update={"looks": looks}))
    assert '<img src="data:image/png;base64,iVBORw0KGgo=" alt="sample 0"' in html
    assert 'points="0.0,48.0 48.0,0.0 96.0,24.0"' in html
    assert html.count("fill-opacity:") == 4
    assert "fill-opacity:0.25" in html
    assert "Expected calibration error 2.0 % before, 5.0 % after" in html
    assert "rank correlation 0.50" in html
    assert ">0.0200 to 0.2000<" in html
    assert "<script" not in html
    assert "Where they differ" not in render_html(report)
