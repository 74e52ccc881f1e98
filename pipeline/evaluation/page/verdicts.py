"""What the figures come to: analyses by number, subgroups, and the verdict in three sentences."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.evaluation.findings import Finding, Risk, Verdict
from pipeline.evaluation.page.content import ReportContent
from pipeline.evaluation.page.estimate_words import shares
from pipeline.evaluation.page.numbers import listing, plural

ENOUGH = 0.9  # of an analysis's comparisons; the others may be chance
FEWEST_OF_A_GROUP = 3  # comparisons without which a subgroup is not judged
ORDER = (Verdict.FAIL, Verdict.WARN, Verdict.UNTESTED, Verdict.PASS)


@dataclass(frozen=True)
class Tally:
    """The verdicts of several findings."""

    name: str
    n_pass: int
    n_warn: int
    n_fail: int
    n_untested: int

    @property
    def n_tested(self) -> int:
        return self.n_pass + self.n_warn + self.n_fail

    @property
    def pass_share(self) -> float:
        return self.n_pass / self.n_tested if self.n_tested else float("nan")

    @property
    def fail_share(self) -> float:
        return self.n_fail / self.n_tested if self.n_tested else float("nan")

    @property
    def verdict(self) -> Verdict:
        """Nine of ten comparisons decide."""
        if not self.n_tested:
            return Verdict.UNTESTED
        if self.n_pass >= ENOUGH * self.n_tested:
            return Verdict.PASS
        is_near = self.n_pass + self.n_warn >= ENOUGH * self.n_tested
        return Verdict.WARN if is_near else Verdict.FAIL


def tally(name: str, findings: Sequence[Finding]) -> Tally:
    counts = Counter(one.verdict for one in findings)
    return Tally(
        name,
        counts[Verdict.PASS],
        counts[Verdict.WARN],
        counts[Verdict.FAIL],
        counts[Verdict.UNTESTED],
    )


def by_analysis(content: ReportContent) -> dict[str, list[Finding]]:
    """{number: findings}, A2 before A10."""
    groups: dict[str, list[Finding]] = {}
    for one in content.findings:
        groups.setdefault(one.analysis, []).append(one)
    return dict(sorted(groups.items(), key=lambda item: _natural(item[0])))


def _natural(name: str) -> list[tuple[int, str]]:
    pieces = re.findall(r"\d+|\D+", name)
    return [(int(one), "") if one.isdigit() else (-1, one) for one in pieces]


def tallies(content: ReportContent) -> dict[str, Tally]:
    return {
        number: tally(analysis_name(content, number), findings)
        for number, findings in by_analysis(content).items()
    }


def analysis_name(content: ReportContent, number: str) -> str:
    return content.analyses.get(number, f"Analysis {number}")


def groups(content: ReportContent) -> list[Tally]:
    """Subgroups, the worst first."""
    findings_of: dict[str, list[Finding]] = {}
    for one in content.findings:
        if one.group:
            findings_of.setdefault(one.group, []).append(one)
    every = [tally(name, findings) for name, findings in sorted(findings_of.items())]
    large = [one for one in every if one.n_tested >= FEWEST_OF_A_GROUP]
    return sorted(large, key=lambda one: (-one.fail_share, one.pass_share, one.name))


def sentences(content: ReportContent) -> tuple[str, str, str]:
    """How good it is for analyses; where not to trust it; who could be found."""
    return _analyses(content), _doubts(content), _attacks(content.risks)


def _analyses(content: ReportContent) -> str:
    every = list(tallies(content).values())
    judged = [one for one in every if one.verdict is not Verdict.UNTESTED]
    if not judged:
        return "How good it is for analyses is not known, for none could be compared."
    n_same = sum(one.verdict is Verdict.PASS for one in judged)
    noun = "analysis comes" if len(judged) == 1 else "analyses come"
    text = f"{n_same} of {len(judged)} {noun} out the same as on real patients"
    n_pass, n_tested = sum(one.n_pass for one in judged), sum(one.n_tested for one in judged)
    # one comparison alone makes no worst analysis where others have several
    several = [one for one in judged if one.n_tested >= FEWEST_OF_A_GROUP] or judged
    worst = max(several, key=lambda one: (one.fail_share, -one.pass_share))
    if not any(one.n_fail for one in judged):
        return f"{text}, and no comparison fails."
    text += f" ({n_pass:,} of {plural(n_tested, 'comparison')} pass)"
    if not worst.n_fail:
        return f"{text}."
    return (
        f"{text}; “{worst.name}” fails worst, in {worst.n_fail:,} of"
        f" {plural(worst.n_tested, 'comparison')}."
    )


def _doubts(content: ReportContent) -> str:
    every = groups(content)
    n = len(content.warnings)
    gate = (
        f"the gate warns of {plural(n, 'thing')}, listed below"
        if n
        else "the gate warns of nothing"
    )
    if not every:
        return f"No subgroup was compared by itself, so trust none without a look, and {gate}."
    worst = every[0]
    if not worst.n_fail:
        return f"No comparison fails in any of {plural(len(every), 'subgroup')}, and {gate}."
    return (
        f"Trust it least for “{worst.name}”, where {worst.n_fail:,} of"
        f" {plural(worst.n_tested, 'comparison')} fail, and {gate}."
    )


def _attacks(risks: Sequence[Risk]) -> str:
    if not risks:
        return (
            "Whether anybody could be found was not tried, and only the guarantee of differential"
            " privacy speaks for it."
        )
    successes = sorted((one for one in risks if one.is_found), key=lambda one: -one.advantage.value)
    if not successes:
        every = "The one attack finds" if len(risks) == 1 else f"None of {len(risks)} attacks finds"
        more = "no more of" if len(risks) == 1 else "more of"
        return (
            f"{every} {more} the patients who were trained on than of others, which does not prove"
            " that a better attack would find nobody."
        )
    names = listing([f"“{one.attack}”" for one in successes])
    first = successes[0]
    verb = "finds" if len(successes) == 1 else "find"
    return (
        f"{len(successes)} of {plural(len(risks), 'attack')} {verb}"
        f" patients who were trained on more often than others: {names}"
        f" ({shares_in_short(first)}), and a better attack may find more."
    )


def shares_in_short(risk: Risk) -> str:
    """ "12% against 8%", without intervals."""
    first, second = (shares(type(one)(value=one.value)) for one in (risk.rate, risk.control))
    return f"{first} against {second}"
