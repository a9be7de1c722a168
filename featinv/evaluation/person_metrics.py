"""The metrics of people: verification at a false accept rate, and the cumulative match curve."""

from featinv.metrics.metric import Metric


def _accepted(name: str, far: str, title: str, short: str, text: str) -> Metric:
    return Metric(
        name,
        None,
        title=f"{title}, FAR {far}",
        short=f"{short} {far}",
        unit="%",
        factor=100,
        higher_is_better=True,
        worst=0.0,
        needs="persons",
        text=text,
        places=("details", "figure"),
    )


_AT = (
    " A judge decides at the threshold at which it accepts {far} of the pairs of originals of different people; by "
    "chance {far} are accepted."
)
_TYPE_ONE = "Share of reconstructions that are accepted as their own original."
_TYPE_TWO = "Share of pairs of a reconstruction and another image of the same person that are accepted."


def _named_first(name: str, top: int, entry: str, title: str) -> Metric:
    return Metric(
        name,
        None,
        title=f"{title}, top-{top}",
        unit="%",
        factor=100,
        higher_is_better=True,
        worst=0.0,
        needs="persons",
        text=f"Share of reconstructions whose person is among the first {top} of a gallery with one image of each "
        f"person, of the right one {entry}.",
        places=("details",),
    )


PERSONS = (
    _accepted("tar_type1_1e3", "0.1 %", "TAR, own original", "own", _TYPE_ONE + _AT.format(far="0.1 %")),
    _accepted("tar_type1_1e2", "1 %", "TAR, own original", "own", _TYPE_ONE + _AT.format(far="1 %")),
    _accepted("tar_type2_1e3", "0.1 %", "TAR, another image", "another", _TYPE_TWO + _AT.format(far="0.1 %")),
    _accepted("tar_type2_1e2", "1 %", "TAR, another image", "another", _TYPE_TWO + _AT.format(far="1 %")),
    Metric(
        "false_accepts_1e3",
        None,
        title="False accepts, FAR 0.1 %",
        unit="%",
        factor=100,
        higher_is_better=False,
        worst=1.0,
        needs="persons",
        text="Share of other people's originals that a reconstruction is accepted as, at the same threshold. A row "
        "that is accepted as everybody, as a mean image may be, shows nobody.",
        places=("details",),
    ),
    _named_first("person_top1", 1, "another image than the original", "Person"),
    _named_first("person_top10", 10, "another image than the original", "Person"),
    _named_first("person_own_top1", 1, "the original", "Person by own original"),
    _named_first("person_own_top10", 10, "the original", "Person by own original"),
)
"""In the order in which they are shown; measured where `clusters` are given."""
