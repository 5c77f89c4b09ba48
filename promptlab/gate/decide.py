"""The decision on a prompt against the one of a base, and whether the session fails for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from promptlab.errors import CassetteMiss, PromptlabError, bare, one_line
from promptlab.gate.answers import Change
from promptlab.gate.base import Pair
from promptlab.scoring.comparison import Comparison, compare, compare_all
from promptlab.scoring.weights import CONFIDENCE

SHOWN = 20  # ids that are named
EXAMPLES = 5  # relabelled ones, or replies read differently, that a terminal shows
LEAST = 0.9  # share of the examples that have to be recorded on both sides

FEWEST = 50  # examples that a release and the working tree have both recorded; with fewer, nothing is said

Verdict = Literal[
    "broken",
    "worse",
    "leaks",
    "contested",
    "unreadable",
    "incomplete",
    "inconclusive",
    "cannot tell",
    "better",
    "unchanged",
    "new",
]
RULES = (
    "the same requests and answers, but other labels, examples or reading of replies, by which the next "
    "prompt will be judged; somebody has to look at what was changed"
)
WORSE = ("broken", "worse")
Outcome = Literal["fails", "warns", "passes", "no test"]


class Line(NamedTuple):
    """A line for people, and a command that ends it."""

    text: str
    command: str = ""

    def __str__(self) -> str:
        return f"{self.text} {self.command}".rstrip()


class Failure(NamedTuple):
    """An evaluation that could not be made."""

    title: str
    why: Line

    @property
    def withheld(self) -> "Failure":
        """The same without the error's words, which may quote a text; of a miss, the command tells enough."""
        return self._replace(why=Line("withheld; the terminal says why", self.why.command))


def failure(title: str, error: Exception, root: Path) -> Failure:
    """Say why an evaluation could not be made, with the command that records what it lacks."""
    why = Line(str(error))
    if isinstance(error, CassetteMiss):
        why = Line(f"{error.reason} To record it:", error.record_with)
    return Failure(title, why._replace(text=why.text.replace(f"{root}/", "")))


@dataclass(frozen=True)
class Decision:
    """The verdict on a pair, and whether the session fails for it."""

    pair: Pair
    verdict: Verdict
    comparison: Comparison | None  # None where there is nothing to compare
    failed: bool
    by_main: Comparison | None = None  # by main's labels and reading; None where they are no others

    @property
    def outcome(self) -> Outcome:
        """What becomes of the session's test for it."""
        if self.failed:
            return "fails"
        if self.verdict == "unchanged" and self.pair.main and not self.pair.anchor:
            return "warns"
        if self.verdict in ("unchanged", "new", "cannot tell"):
            return "no test"
        unsure = self.verdict in ("inconclusive", "contested") and not self.pair.anchor
        return "warns" if unsure and not self.no_worse else "passes"

    @property
    def no_worse(self) -> bool:
        """Whether neither better nor worse is shown, but that it is no worse: by main's labels too."""
        both = [one.no_worse for one in (self.comparison, self.by_main) if one]
        return self.verdict == "inconclusive" and all(both)

    @property
    def called(self) -> str:
        """The verdict for people."""
        return "no worse" if self.no_worse else self.verdict

    def said(self, *, verbose: bool = True, examples: bool = False) -> Iterator[Line]:
        """Yield what to do and why: for a terminal with `examples`, and the statistics where `verbose`."""
        pair, count = self.pair, len(self.pair.alone)
        yield from map(Line, _verdict(self, verbose=verbose, examples=examples))
        if verbose and pair.looks > 1 and self.verdict in ("better", "inconclusive", "contested"):
            of = f"{pair.looks} recordings were judged on this test split"
            yield Line(f'  {of}, so that "better" has to hold with 1/{pair.looks} of the risk')
        if pair.anchor:
            yield Line(f"  judged against the release {pair.against}, so that small losses do not add up")
        yield from map(Line, _by_main(self, examples=examples))
        if self.verdict == "incomplete":
            yield Line(f"  at least {LEAST:.0%} are needed; to record the rest:", pair.place.record_with)
        if count and not pair.same:
            where = f"{count} of {pair.whole.examples} examples are not recorded on both sides"
            yield Line(f"  not compared: {where}: {_named(pair.alone)}")
        yield from (Line(f"  could not be read from the base: {why}") for why in pair.unreadable)
        if pair.again:
            yield Line("  the base was asked again beside it, so a lucky recording of it counts no more")
        yield from (Line(f"  also changed: {what}") for what in pair.changes)
        if verbose:
            yield Line(f"  base: {pair.against}; prompt: {pair.folder}")

    @property
    def lines(self) -> tuple[Line, ...]:
        """The verdict and all reasons for it; no text of an example."""
        return tuple(self.said())

    @property
    def explanation(self) -> str:
        """The same as one text."""
        return "\n".join(map(str, self.lines))

    @property
    def headline(self) -> str:
        """What to do, on one line."""
        return str(next(self.said()))

    @property
    def brief(self) -> str:
        """The same with what it is about."""
        return f"{self.pair.title}: {self.headline}"


def decide(pairs: Sequence[Pair], *, strict: bool) -> tuple[Decision, ...]:
    """Judge all pairs, those with a release by themselves; what fails the session is in docs/gate.md."""
    whole = {n: (p.base, p.new) for n, p in enumerate(pairs) if p.base and p.new and not _incomplete(p)}
    comparisons: dict[int, Comparison] = {}
    for anchor in (False, True):
        some = [n for n in whole if pairs[n].anchor == anchor]
        looks = [1 if anchor else pairs[n].looks for n in some]
        comparisons |= zip(some, compare_all((whole[n] for n in some), looks=looks), strict=True)
    return tuple(_decision(one, comparisons.get(n), strict=strict) for n, one in enumerate(pairs))


def false_alarm(decisions: Sequence[Decision]) -> str:
    """Say how likely a false "worse" is in this session; "" where none was judged."""
    judged = sum(bool(one.comparison and one.comparison.difference) for one in decisions)
    if not judged:
        return ""
    each, one = ("the prompt is", "it") if judged == 1 else (f"each of the {judged} prompts judged is", "one")
    chance = f"{1 - CONFIDENCE**judged:.0%}"
    return f"if {each} as good as its base, the chance that {one} is called worse is about {chance}"


def compared(pair: Pair, margin: float) -> Comparison:
    """Compare one pair; PromptlabError where too little is recorded."""
    if pair.base is None or pair.new is None or pair.unreadable or _incomplete(pair):
        raise PromptlabError(_decision(pair, None, strict=False).explanation)
    return compare(pair.base, pair.new, margin=margin)


def _verdict(decision: Decision, *, verbose: bool, examples: bool) -> Iterator[str]:
    """Yield the verdict with what to do, then the figures."""
    pair, found, main = decision.pair, decision.comparison, decision.by_main
    if found is None:
        yield f"{decision.verdict.capitalize()}: {_nothing(pair)}"
        return
    head, *rest = found.lines(verbose=verbose, examples=examples)
    if decision.verdict == "contested" and main:
        head = (
            f"Contested: {_short(found)} by this branch's labels and reading of replies, {_short(main)} by "
            f"main's; somebody has to look at what was changed"
        )
    if decision.verdict == "leaks":
        head = f"Leaks, do not merge: {_nothing(pair)}"
    if decision.verdict == "unchanged" and pair.main:
        head = f"Unchanged: {RULES}"
    if decision.verdict == "inconclusive" and found.no_worse and not decision.no_worse:
        head = "Cannot tell: shown to be no worse by this branch's labels and reading, and not by main's"
    if decision.verdict == "inconclusive" and pair.anchor:  # whether to merge depends on the base
        head = f"No loss since the release is shown: {found.counts}"
    yield from (head, *rest)


def _short(found: Comparison) -> str:
    """Return a verdict in a word or two, which alone does not make it OK to merge."""
    return "no worse" if found.verdict == "inconclusive" and found.no_worse else found.verdict


def _named(ids: Sequence[str]) -> str:
    return ", ".join(map(bare, ids[:SHOWN])) + (", ..." if len(ids) > SHOWN else "")


def _by_main(decision: Decision, *, examples: bool) -> Iterator[str]:
    """Say what main's own tests make of it, and where they differ."""
    main = decision.pair.main
    if main is None:
        return
    if found := decision.by_main:
        head, figures, *_ = (*found.lines(examples=False), "")
        said = head if found.verdict in WORSE else _short(found)
        yield f"  by main's labels and reading: {said}"
        yield from filter(None, [figures])
    for what, some in (("relabelled", main.relabelled), ("read differently", main.reread)):
        if some:
            yield f"  {what}: {len(some)}"
            yield from (f"    {line}" for line in (table(some) if examples else ()))
    wrong = "" if decision.pair.same else ", and wrong by main's reading"
    for what, ids in (
        ("new, or in another group", main.others),
        (f"no longer judged{wrong}", main.gone),
    ):
        if ids:
            yield f"  {what}: {len(ids)} examples: {_named(ids)}"


def table(some: Sequence[Change], heads: tuple[str, str] = ("main's", "this branch's")) -> Iterator[str]:
    """Yield a table of what is taken for something else, for a terminal: id, what it was and is, text."""
    rows = [("", *heads, "")]
    rows += [(bare(one.id), bare(one.main), bare(one.here), one_line(one.text)) for one in some[:EXAMPLES]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if (more := len(some) - EXAMPLES) > 0:
        yield f"and {more} more"


def _nothing(pair: Pair) -> str:
    """Say why there is nothing to compare."""
    if pair.same and not pair.unreadable:
        return "prompt and model are the same, so there is nothing to judge"
    if pair.leaks:
        why = "the prompt quotes examples that it is judged on, so it would be judged on what it knows"
        return f"{why}: {_named(pair.leaks)}"
    if pair.unreadable:
        return f"{pair.against} cannot be read, so nothing says whether this prompt is worse"
    if not pair.known:
        return f"{pair.against} has no prompt in {pair.folder}, so there is nothing to compare"
    both = pair.whole.examples - len(pair.alone)
    return f"only {both} examples are recorded both for the prompt of {pair.against} and for this one"


def _decision(pair: Pair, comparison: Comparison | None, *, strict: bool) -> Decision:
    if pair.unreadable:
        return Decision(pair, "unreadable", None, failed=True)
    if pair.leaks:
        return Decision(pair, "leaks", comparison, failed=not pair.anchor)
    if comparison is None:
        short: Verdict = "cannot tell" if pair.anchor else "incomplete"
        verdict: Verdict = "unchanged" if pair.same else short if pair.known else "new"
        return Decision(pair, verdict, None, failed=verdict == "incomplete")
    main = compare(pair.main.base, pair.main.new) if pair.main else None
    unproven = strict and not pair.anchor and not all(one.no_worse for one in (comparison, main) if one)
    verdict = comparison.verdict
    unshown = verdict == "better" and main and not main.no_worse
    if unshown or (main and (main.verdict in WORSE) != (verdict in WORSE)):
        return Decision(pair, "contested", comparison, failed=strict, by_main=main)
    return Decision(pair, verdict, comparison, failed=verdict in WORSE or unproven, by_main=main)


def _incomplete(pair: Pair) -> bool:
    if pair.anchor:
        return not pair.same and pair.whole.examples - len(pair.alone) < FEWEST
    return not pair.same and len(pair.alone) > (1 - LEAST) * pair.whole.examples + 1e-9
