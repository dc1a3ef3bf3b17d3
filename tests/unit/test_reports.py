"""The report's page and pictures, from a history made by hand."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

import mentor
from mentor.exceptions import InputError
from mentor.fit.posterior import posterior
from mentor.learning.history import (
    CampaignHistory,
    Errors,
    Failure,
    Iteration,
    Stretch,
    Validation,
)
from mentor.learning.settings import CampaignSettings, EngineSettings, StructureSettings
from mentor.plots import new_figure, parity, save, svg
from mentor.reports import page, pictures
from mentor.reports.uncertainty import expectation
from mentor.uncertainty import posterior_path

SETTINGS = CampaignSettings(
    structures=StructureSettings(start=(Path("water<1>.xyz"),)),
    engine=EngineSettings(name="tblite", parameters={"method": "GFN2-xTB"}),
)


def errors(structures: int, scale: float) -> Errors:
    return Errors(
        structures=structures,
        energy_mae=0.001 * scale,
        energy_rmse=0.002 * scale,
        force_mae=0.03 * scale,
        force_rmse=0.04 * scale,
        stress_rmse=None,
    )


def iteration(number: int, steps: int, labels: int, trained: int, phase: str) -> Iteration:
    stretch = Stretch(
        walker=0,
        temperature=300.0,
        pressure=None,
        first_step=steps - 100,
        last_step=steps,
        grades=((steps - 50, 1.5), (steps, 12.0 if labels else 1.1)),
        stopped=labels > 0,
        candidates=labels,
    )
    return Iteration(
        number=number,
        phase=phase,
        stretches=(stretch,) if phase == "learning" else (),
        md_steps=steps,
        new_labels=labels,
        failures=0,
        training_size=trained,
        generation=number,
        errors_before=errors(labels, 3.0 / number) if number and labels else None,
        errors_after=errors(trained, 1.0),
        seconds={"explore": 2.0, "label": 3.0, "fit": 5.0},
    )


def water(seed: int):
    atoms = molecule("H2O")
    atoms.rattle(0.05, seed=seed)
    forces = np.random.default_rng(seed).normal(size=(3, 3))
    atoms.calc = SinglePointCalculator(atoms, energy=-100.0 - 0.01 * seed, forces=forces)
    return atoms


@pytest.fixture
def past() -> CampaignHistory:
    structures = tuple(water(seed) for seed in range(4))
    validation = Validation(
        structures=structures,
        energies=np.array([each.get_potential_energy() + 0.006 for each in structures]),
        forces=tuple(each.get_forces() + 0.03 for each in structures),
        errors=errors(4, 1.0),
        errors_by_temperature={300.0: errors(3, 0.5), 600.0: errors(1, 2.0)},
    )
    return CampaignHistory(
        folder=Path("folder"),
        status="finished",
        message="nothing new",
        converged=True,
        settings=SETTINGS,
        iterations=(
            iteration(0, 0, 5, 5, "start"),
            iteration(1, 100, 3, 8, "learning"),
            iteration(2, 200, 2, 10, "learning"),
            iteration(3, 1000, 0, 10, "learning"),
        ),
        failures=(Failure(structure=water(9), reason="SCF <failed>", iteration=2),),
        validation=validation,
        potential=None,
        walkers=(),
        label_seconds=2.0,
        md_seconds_per_step=0.01,
    )


class Page(HTMLParser):
    """Texts and addresses of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.addresses, self.open = "", [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f"{data} "


def test_page_needs_nothing_else_and_says_it_all(past):
    html = page.page(past, page.verdict(past))
    shown = Page(html)
    assert not shown.open
    assert len(shown.addresses) == 6
    assert all(each.startswith("data:image/svg+xml;base64,") for each in shown.addresses)
    assert "<script" not in html
    assert "@import" not in html
    text = " ".join(shown.text.split())
    for expected in (
        "Campaign water<1>",
        "Trained on 10 GFN2-xTB calculations",
        "energies to 1 meV/atom and forces to 30 meV/Å",
        "on 4 fresh structures",
        "validation, 300 K 3 0.5 1 15 20 –",
        "validation, 600 K 1 2 4 60 80 –",
        "validation, all 4 1 2 30 40 –",
        "training 10 1 2 30 40 –",
        "H2O 2 SCF <failed>",
        "temperatures 300 K",
        "method = GFN2-xTB",
        "200× faster per step than the QM code",
        "50× faster than the same dynamics by QM",
    ):
        assert expected in text, expected


def test_page_says_how_large_errors_were_expected_to_be(past, tmp_path):
    """The posterior of the campaign's potential, with the validation it was tested on."""
    potential = mentor.init(level=4, elements=("H", "O"), cutoff=4.0, min_dist=0.5)
    trained = [water(seed) for seed in range(20, 60)]
    known = posterior(potential, trained, validation=past.validation.structures)
    potential.save(tmp_path / "potential.mtp")
    for place, atoms in enumerate(past.validation.structures):
        atoms.info["grade"] = 0.5 * place
    past = replace(past, potential=tmp_path / "potential.mtp", folder=tmp_path)
    assert expectation(past) is None
    known.save(posterior_path(past.potential))
    found = expectation(past)
    assert np.isfinite(found.expected).all()
    assert found.expected.shape == found.found.shape == found.grades.shape
    inside, wide = 100 * known.tested
    assert (
        f"{inside:.0f} % and {wide:.0f} % lie within the intervals for 68 % and 95 %"
        in found.sentence()
    )
    figure = pictures.expected_errors(found)
    assert "viridis" in figure.axes[0].collections[0].get_cmap().name
    replace(known, fingerprint="another").save(posterior_path(past.potential))
    assert expectation(past) is None


def test_unfinished_campaign_is_said_to_be_so(past):
    running = replace(past, status="running", validation=None, converged=None, failures=())
    said = page.verdict(running)
    assert (
        said == "The campaign is running: 10 GFN2-xTB calculations so far, 1000 steps of dynamics."
    )
    assert "None: every QM calculation succeeded." in Page(page.page(running, said)).text


def test_unconverged_campaign_is_said_to_be_so(past):
    said = page.verdict(replace(past, converged=False))
    assert "New structures were still turning up when it ended." in said


def test_picture_of_qm_calls_holds_the_campaigns_numbers(past):
    (axes,) = pictures.qm_calls(past).axes
    assert axes.lines[0].get_xydata().tolist() == [[0, 0], [0, 5], [100, 8], [200, 10], [1000, 10]]
    assert "none in the last 80% of the dynamics" in axes.texts[0].get_text()


def test_picture_of_grades_holds_thresholds_and_stops(past):
    (axes,) = pictures.grades(past).axes
    grades, stops, lower, upper = axes.lines
    assert grades.get_xydata()[:2].tolist() == [[50, 1.5], [100, 12.0]]
    assert stops.get_xydata().tolist() == [[100, 12.0], [200, 12.0]]
    assert (lower.get_ydata()[0], upper.get_ydata()[0]) == (2.1, 10.0)


def test_learning_curve_shows_errors_before_training(past):
    energies, forces = pictures.learning_curve(past).axes
    assert np.allclose(energies.lines[0].get_xydata(), [[5, 3.0], [8, 1.5]])
    assert np.allclose(forces.lines[0].get_xydata(), [[5, 90.0], [8, 45.0]])
    assert np.allclose(forces.lines[1].get_xydata(), [[10, 30.0]])


def test_parities_show_errors_of_all_points(past):
    fresh = past.validation
    figures = pictures.parities({"validation": (fresh.structures, fresh.energies, fresh.forces)})
    legends = [figure.axes[0].get_legend_handles_labels()[1][0] for figure in figures.values()]
    assert legends == ["validation: MAE 2 meV/atom", "validation: MAE 30 meV/Å"]


def test_time_adds_up(past):
    (axes,) = pictures.time_spent(past).axes
    assert re.search(r"wall time \(min\)", axes.get_xlabel())
    assert axes.patches[0].get_width() == pytest.approx(2000 / 60)
    assert sum(each.get_width() for each in axes.patches[1:]) == pytest.approx(40 / 60)


def test_report_of_no_campaign(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        mentor.report(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        mentor.report(tmp_path / "nowhere")


def test_pictures_are_saved_by_ending(tmp_path):
    figure = parity({"set": (np.arange(3.0), np.arange(3.0) + 1)}, "energy", "eV")
    for ending, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        save(figure, tmp_path / f"picture.{ending}")
        assert (tmp_path / f"picture.{ending}").read_bytes().startswith(start)
    with pytest.raises(InputError, match=r"picture\.doc"):
        save(figure, tmp_path / "picture.doc")


def test_parity_of_nothing_is_an_empty_picture():
    assert "<svg" in svg(parity({"set": (np.zeros(0), np.zeros(0))}, "energy", "eV"))
    assert "<svg" in svg(new_figure()[0])
