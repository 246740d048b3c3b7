"""What deploys Millrace, checked without a cluster and without a container engine. See ops/helm/check.sh, which runs it.

Reading order: `refused`, values that must not pass; `render`, the chart as manifests; `content`, what must hold in these; `mutants`, that
this can fail; `options`, what manifests say to the binary; `image` and `compose`, the other two ways to run it."""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import compose  # noqa: E402
import content  # noqa: E402
import image  # noqa: E402
import mutants  # noqa: E402
import refused  # noqa: E402
from options import Binary  # noqa: E402
from problems import Problems  # noqa: E402
from render import Chart  # noqa: E402

OPS = Path(__file__).resolve().parent.parent


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tools", type=Path, required=True)
    parser.add_argument("--millrace", type=Path, required=True)
    arguments = parser.parse_args()
    begun = time.monotonic()

    problems = Problems()
    binary = Binary(arguments.millrace)
    chart = Chart(OPS / "helm" / "millrace", arguments.tools)
    values = sorted((OPS / "helm" / "values").glob("*.yaml"))

    releases = chart.check_renderings(values, problems)
    wrong = refused.check(chart, problems)
    rules = content.check(chart, values, problems)
    broken = mutants.check(chart, values, problems)
    options = binary.check_chart(chart, values, problems)
    steps = image.check(OPS, arguments.tools, problems)
    services = compose.check(OPS, arguments.tools, binary, problems)

    for problem in problems.found:
        print(problem)
    seconds = time.monotonic() - begun
    if problems.found:
        print(f"FAIL ops/helm: {len(problems.found)} problems, see above ({seconds:.0f} s)")
        return 1
    print(
        f"PASS ops/helm: {len(values)} files of values on Kubernetes {' and '.join(releases)}, {wrong} wrong values refused, "
        f"{rules} rules of content hold and see {broken} broken charts, {options} options and variables known; image: {steps} instructions; compose: {services} "
        f"services ({seconds:.0f} s)"
    )
    return 0


sys.exit(main())
