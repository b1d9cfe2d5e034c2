"""Command line for the campaign of hostile files and requests; see `campaign.py`."""

import argparse
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # where this package and machine.py are

from hostile import campaign, worker  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=campaign.__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=8_500)
    parser.add_argument("--videos", type=int, default=800)
    parser.add_argument("--zips", type=int, default=800)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--no-report", action="store_true", help="print only")
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        kind, seed, first, count, place = options.worker
        worker.work_through(kind, int(seed), int(first), int(count), Path(place))
        return 0
    outcomes = campaign.run_campaign(
        options.seed,
        images=options.images,
        videos=options.videos,
        zips=options.zips,
        num_requests=options.requests,
    )
    text = campaign.table(outcomes, options.seed)
    print(text)
    if not options.no_report:
        campaign.write_report(text)
    return int(any(one.faults for one in outcomes))


sys.exit(main())
