"""Several client processes of one running contender, and what they do together.

Law: a contender that has an address can be used from further stations; this starts them and has them begin
at once.
"""

from __future__ import annotations

from benchmarks.contender import Contender
from benchmarks.measure import Probe, timed
from benchmarks.stations import Station, at_once, together


def shared(contender: Contender, name: str, opened: list[Station], clients: int, count: int) -> Probe | None:
    """So many calls divided among several client processes; the time of one.

    Parameters
    ----------
    name
        The contender's short name.
    opened
        Gets the stations that are started, for whoever closes them.
    """
    address = contender.address()
    if address is None:
        return None
    more = range(clients - len(opened))
    at_once([lambda: opened.append(Station(name, address=address)) for _ in more])
    share = (count // clients,)
    return timed(lambda: together(opened[:clients], "burst", share), each=share[0] * clients)


def close_all(stations: list[Station]) -> None:
    """End the stations, all at once."""
    at_once([station.close for station in stations])
    stations.clear()
