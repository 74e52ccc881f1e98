"""docs/python.md as a reader runs it, and what the door refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from syndasera import Refusal, Synthesizer

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
# the page's own fit takes a minute; fewer steps learn less and draw the same way
FEW = {"table": {"steps": 60, "codes": 50}}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The names that the page's code leaves."""
    blocks = CODE.findall((ROOT / "docs" / "python.md").read_text(encoding="utf-8"))
    assert len(blocks) >= 6
    text = "\n".join(blocks)
    assert "epsilon=1.0)" in text
    text = text.replace("epsilon=1.0)", f"epsilon=1.0, settings={FEW})")
    names: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        exec(compile(text, "docs/python.md", "exec"), names)
        names["folder"] = Path.cwd()
    return names


def test_the_page_runs_as_it_stands(page: dict) -> None:
    """Its own assertions held; what it fitted is near the frame."""
    synthetic, frame = page["synthetic"], page["frame"]
    assert len(synthetic) == 1000 and abs(synthetic["age"].mean() - frame["age"].mean()) < 5
    assert synthetic["dose"].isna().any() and synthetic["age"].dtype == frame["age"].dtype
    assert page["model"].privacy["epsilon"] == pytest.approx(1.0, abs=0.01)


def test_what_cannot_be_is_refused_in_one_line(page: dict, tmp_path: Path) -> None:
    folder, model, frame = page["folder"], page["model"], page["frame"]
    declaration = folder / "trial.yaml"
    with pytest.raises(Refusal, match="nothing was fitted"):
        Synthesizer(declaration, epsilon=1.0).sample(5)
    with pytest.raises(Refusal, match="other: no such table; trial has trial"):
        Synthesizer(declaration, epsilon=1.0).fit({"other": frame})
    with pytest.raises(Refusal, match="age"):
        Synthesizer(declaration, epsilon=1.0).fit(frame.drop(columns="age"))
    with pytest.raises(Refusal, match="epsilon must be positive"):
        Synthesizer(declaration, epsilon=0)
    with pytest.raises(Refusal, match="plan names height"):
        model.sample(5, plan={"where": {"height": "1..2"}})
    with pytest.raises(Refusal, match="no model in"):
        Synthesizer.load(tmp_path)
    confidential = declaration.read_text().replace("public: true", "public: false")
    (tmp_path / "trial.yaml").write_text(confidential.replace("kind: public", "kind: confidential"))
    with pytest.raises(Refusal, match="public: true"):
        Synthesizer(tmp_path / "trial.yaml", epsilon=1.0).fit(frame)


def test_pandas_types_come_to_ingest_as_a_file_would_bring_them(page: dict) -> None:
    """Categories of pandas, and whole numbers with gaps as floats: the same model as from texts."""
    declaration, frame = page["folder"] / "trial.yaml", page["frame"]
    odd = frame.assign(
        sex=frame["sex"].astype("category"), age=frame["age"].astype(float), dose=frame["dose"]
    )
    model = Synthesizer(declaration, epsilon=1.0, settings=FEW).fit(odd)
    drawn = model.sample(50)
    assert isinstance(drawn, pd.DataFrame) and set(drawn["sex"]) <= {"F", "M"}
