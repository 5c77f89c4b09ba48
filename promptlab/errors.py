"""The exceptions.

Every message says what is wrong, shows the value, says what was expected and what to do next.
It never holds a key or a whole request.
"""

from collections.abc import Collection, Mapping

from promptlab.secrets import masked


def shorten(value: object, most: int = 80) -> str:
    """Return the repr of a value, cut to so many characters."""
    shown = repr(masked(value) if isinstance(value, str) else value)
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def one_line(text: str, most: int = 100) -> str:
    """Return a text on one line, in quotes: white space collapsed, controls escaped, and cut."""
    return shorten(" ".join(text.split()), most)


def bare(text: str, most: int = 80) -> str:
    """Return an id, a label or an answer on one line, without quotes: controls escaped, cut."""
    return shorten(text, most)[1:-1]


class PromptlabError(Exception):
    """Base of every error promptlab raises on purpose; what has the shape of a key is masked."""

    def __str__(self) -> str:
        return masked(super().__str__())

    def __repr__(self) -> str:
        return masked(super().__repr__())


class ExtractorError(PromptlabError):
    """An extractor raised, or returned what is no label, nor None."""


class ScorerError(ExtractorError):
    """The `score` of a graded task raised, or returned no number from 0 to 1."""


class DataError(PromptlabError):
    """The examples, the labels or a prompt folder cannot be used as they are."""


class RewriteError(PromptlabError):
    """The critic's answer cannot be used; the message is written for the critic to act on."""


class ModelError(PromptlabError):
    """The API rejected a call or could not be reached, and retrying would not help."""


class BudgetExceeded(PromptlabError):
    """The next call may cost more than what is left of the budget."""


class NetworkBlocked(PromptlabError):
    """Something tried to open a connection that is blocked while recorded calls are replayed."""


class RecordingError(PromptlabError):
    """A recording cannot be made, kept or read; nothing that was recorded before is lost."""


class CassetteMiss(PromptlabError):
    """A call, `asked_for`, is not in the recording; `record_with` is the command that records it.

    `why` says in full what differs. A session shows it once: where `told` names the test that has shown it,
    the others refer to that.
    """

    def __init__(
        self, path: str, record_with: str, *, empty: bool, asked_for: str = "a request", why: str = ""
    ) -> None:
        self.path, self.record_with, self.empty, self.asked_for = (path, record_with, empty, asked_for)
        self.told = ""
        differs = (
            "Nothing has been recorded there yet."
            if empty
            else "The model, a parameter, the prompt or the text differs from the recording."
        )
        self.reason = why or f"no recording of {asked_for} in {path}. {differs}"
        super().__init__(f"{self.reason} To record it: {record_with}")

    def __str__(self) -> str:
        return f"{self.path} lacks calls, see {self.told}" if self.told else super().__str__()


def reject_unknown(settings: Mapping[str, object], known: Collection[str], name: str) -> None:
    """Reject unknown keyword arguments of a function: TypeError for a setting that is not `known`."""
    for setting in settings:
        if setting not in known:
            raise TypeError(f"{name} has no setting {setting!r}, only {', '.join(known)}")
