"""How bench.py shows a report: tables, notes, what changed between two of them, a drawing."""

import json
import shutil
import statistics
import subprocess
from pathlib import Path

CROWDED = 0.10  # share of the machine used by others above which a verdict is marked noisy


def table(rows, header):
    widths = [max(len(str(r[i])) for r in [header, *rows]) for i in range(len(header))]
    for row in [header, ["-" * w for w in widths], *rows]:
        print("  ".join(str(cell).ljust(w) if i < 2 else str(cell).rjust(w)
                        for i, (cell, w) in enumerate(zip(row, widths))).rstrip())


def spread(result):
    values = [r["cpu_us"] for r in result["reps"]]
    return (max(values) - min(values)) / statistics.median(values)


def show_results(report):
    if not report["results"]:
        return
    checks = {c["name"]: c for c in report["checks"]}
    rows = []
    for r in report["results"]:
        m, check = r["median"], checks.get(r["scenario"]) if r["server"] == "sherd" else None
        if m is None:
            rows.append([r["scenario"], r["server"], "n/a"] + [""] * 9)
            continue
        rows.append([
            r["scenario"], r["server"], f"{m['cpu_us']:.3f}", f"{spread(r) * 100:.0f}%", f"{m['ops_per_s'] / 1000:.0f}",
            f"{m['p50_us']:.0f}", f"{m['p99_us']:.0f}", f"{m['p99.9_us']:.0f}",
            f"{m['server_busy'] * 100:.0f}%", f"{m['generator_busy'] * 100:.0f}%",
            f"{check['value']:.2f}" if check else "",
            verdict(check) if check else "",
        ])
    table(rows, ["scenario", "server", "CPU us/op", "+-", "kops/s", "p50 us", "p99", "p99.9", "server", "generator",
                 "ratio", "target"])


def verdict(check):
    if check["ok"] is None:
        return "-"
    target = ("at least " if check.get("at_least") else "") + f"{check['target']}" + (f" / {check['or_us']} us" if check.get("or_us") else "")
    return f"{target} {'ok' if check['ok'] else 'MISSED'}{' (noisy)' if check['noisy'] else ''}"


def show_stalls(report):
    rows = [[f"{s['scenario']}, {s['group']}" if not s["group"].startswith(" ") else s["group"], s["server"],
             f"{s['ops_per_s'] / 1000:.0f}", *(f"{s[p]:.0f}" for p in ("p50_us", "p99_us", "p99.9_us", "max_us")),
             f"{s['slowest_ops']:.0f}", f"{s['fastest_ops']:.0f}"] for s in report["stalls"]]
    if rows:
        print()
        table(rows, ["group", "server", "kops/s", "p50 us", "p99", "p99.9", "max", "slowest client's ops", "fastest's"])


def show_opens(report):
    rows = [[f"{o['scenario']}, {o['load']}", o["server"], f"{o['ops_per_s'] / 1000:.0f}",
             *(f"{o[p]:.0f}" for p in ("p50_us", "p99_us", "p99.9_us", "max_us")), f"{o['server_busy'] * 100:.0f}%"]
            for o in report["opens"]]
    if rows:
        print()
        table(rows, ["open loop", "server", "kops/s", "p50 us", "p99", "p99.9", "max", "server"])


def show_evictions(report):
    rows = [[f"{e['scenario']}, {e['policy']}", e["server"], f"{e['cpu_us']:.3f}", f"{e['ops_per_s'] / 1000:.0f}",
             f"{e['keys'] / 1000:.0f}", "" if e["hits"] is None else f"{e['hits']:.4f}"] for e in report["evictions"]]
    if rows:
        print()
        table(rows, ["eviction", "server", "CPU us/op", "kops/s", "thousand keys", "hits"])


def show_checks(report):
    shown = {r["scenario"] for r in report["results"] if not r["shared_cores"]}
    rows = [[c["name"], c["unit"], f"{c['value']:.{3 if c.get('at_least') else 2}f}", verdict(c)] for c in report["checks"] if c["name"] not in shown]
    if rows:
        print()
        table(rows, ["figure", "unit", "value", "target"])


def notes(report):
    found = []
    idle, crowded, weak = [], [], []
    for r in report["results"]:
        m = r["median"]
        if m is None:
            continue
        label = f"{r['scenario']} ({r['server']})"
        if not r["shared_cores"] and m["server_busy"] < 0.9:
            idle.append(f"{label} {m['server_busy'] * 100:.0f}%")
            if m["generator_busy"] > 0.85:
                weak.append(label)
        crowded += [x["others"] for x in r["reps"] if x["others"] > CROWDED]
    if idle:
        found.append("the server was less than 90 % busy, so throughput and percentiles are not its limit (CPU per op is "
                     "still its own): " + ", ".join(idle))
    if weak:
        found.append("THE GENERATOR WAS THE BOTTLENECK in: " + ", ".join(weak))
    if crowded:
        found.append(f"others used {max(crowded) * 100:.0f} % of this machine's CPUs during a measurement: only ratios mean "
                     "anything, and they little; repeat when it is quiet")
    return found


def show_head(meta):
    print(f"{meta['date']}  {meta['cpu']}, {meta['cores']} cores, Linux {meta['kernel']}, commit {meta['commit']}; "
          f"{meta['redis'] or 'no redis-server'}; {meta['keys']} keys, {meta['reps']} x {meta['time']} s, medians"
          + ("" if meta["pinned"] else "; NOT PINNED: fewer than two cores") + "\n", flush=True)


def show(report):
    show_head(report["meta"])
    show_results(report)
    show_stalls(report)
    show_opens(report)
    show_evictions(report)
    show_checks(report)
    for note in report["notes"]:
        print(f"\nnote: {note}")
    for failure in report["failures"]:
        print(f"\nFAILED: {failure}")
    judged = [c for c in report["checks"] if c["ok"] is not None]
    if judged:
        noisy = sum(c["noisy"] for c in judged)
        print(f"\n{sum(c['ok'] for c in judged)} of {len(judged)} targets reached"
              + (f"; {noisy} of these verdicts are noisy and prove nothing" if noisy else ""))


def number(value):
    return "" if value is None else f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"


def show_persist(report):
    show_head(report["meta"])
    rows = [[f["figure"], f["unit"], number(f["sherd"]), number(f["redis"]), number(f["ratio"]), f["aim"] or "",
             "" if f["ok"] is None else "ok" if f["ok"] else "MISSED"] for f in report["persist"]]
    table(rows, ["figure", "unit", "sherd", "redis", "ratio", "aim", ""])
    for note in report["notes"]:
        print(f"\nnote: {note}")
    for failure in report["failures"]:
        print(f"\nFAILED: {failure}")


# --- two runs ---------------------------------------------------------------------------------------------------------

def compare(old_path, new_path):
    """What changed between two --json files, of scenarios or of persist."""
    old, new = (json.loads(Path(p).read_text()) for p in (old_path, new_path))
    print(f"{old_path} ({old['meta']['commit']}) -> {new_path} ({new['meta']['commit']})\n")
    if ("persist" in old) != ("persist" in new):
        print("one of them is of `bench persist`, the other is not: there is nothing to compare")
        return 1
    if "persist" in new:
        compare_figures(old, new)
        return 0
    compare_results(old, new)
    compare_checks(old, new)
    for path, here, there in ((old_path, old, new), (new_path, new, old)):
        measured = set(medians_of(there))
        alone = [f"{scenario} ({server})" for scenario, server in medians_of(here) if (scenario, server) not in measured]
        if alone:
            print(f"\nonly in {path}: {', '.join(alone)}")
    return 0


def medians_of(report):
    """(scenario, server) -> its result, of those that were measured."""
    return {(r["scenario"], r["server"]): r for r in report["results"] if r["median"]}


def change_of(before, after):
    return f"{(after / before - 1) * 100:+.1f}%" if before else ""


def beside_redis(results, scenario, server):
    """CPU per operation as a multiple of redis's in the same run: that survives another machine, and a noisy one."""
    redis = results.get((scenario, "redis"))
    return None if server == "redis" or redis is None else \
        results[scenario, server]["median"]["cpu_us"] / redis["median"]["cpu_us"]


def compare_results(old, new):
    before, after, rows = medians_of(old), medians_of(new), []
    for (scenario, server), r in after.items():
        if (scenario, server) not in before:
            continue
        was = before[scenario, server]
        a, b = was["median"], r["median"]
        change, noise = b["cpu_us"] / a["cpu_us"] - 1, max(spread(was), spread(r))
        word = "within noise" if abs(change) <= noise else ("slower" if change > 0 else "faster")
        then, now = (beside_redis(x, scenario, server) for x in (before, after))
        rows.append([scenario, server, f"{a['cpu_us']:.3f}", f"{b['cpu_us']:.3f}", f"{change * 100:+.1f}%",
                     f"{noise * 100:.0f}%", change_of(then, now) if then and now else "",
                     change_of(a["ops_per_s"], b["ops_per_s"]), change_of(a["p99_us"], b["p99_us"]), word])
    table(rows, ["scenario", "server", "CPU us/op", "now", "change", "+-", "beside redis", "throughput", "p99", ""])


def compare_checks(old, new):
    was = {c["name"]: c for c in old["checks"]}
    rows = [[c["name"], c["unit"], f"{was[c['name']]['value']:.2f}", f"{c['value']:.2f}", verdict(c)]
            for c in new["checks"] if c["name"] in was]
    if rows:
        print()
        table(rows, ["figure", "unit", "was", "now", "target"])


def compare_figures(old, new):
    was = {f["figure"]: f for f in old["persist"]}
    rows = []
    for f in new["persist"]:
        before = was.get(f["figure"])
        if before is None:
            continue
        ratio = change_of(before["ratio"], f["ratio"]) if before["ratio"] and f["ratio"] else ""
        change = change_of(before["sherd"], f["sherd"]) if before["sherd"] and f["sherd"] else ""
        rows.append([f["figure"], f["unit"], number(before["sherd"]), number(f["sherd"]), change, ratio])
    table(rows, ["figure", "unit", "sherd was", "now", "change", "beside redis"])


def plot(report, path):
    """CPU per operation as bars, a pair per scenario, logarithmic. Needs gnuplot."""
    gnuplot = shutil.which("gnuplot")
    if gnuplot is None:
        return print(f"gnuplot is not installed: {path} not drawn (the --json file can be drawn later: bench.py plot)")
    cells = {}
    for r in report["results"]:
        if r["median"]:
            cells.setdefault(r["scenario"], {})[r["server"]] = r["median"]["cpu_us"]
    lines = [f'"{name}" {by.get("sherd", "?")} {by.get("redis", "?")} {by.get("floor", "?")}'
             for name, by in cells.items()]
    script = f"""set terminal pngcairo size 1400,700 font "sans,11"
set output "{path}"
set title "CPU per operation, microseconds ({report['meta']['date']}, {report['meta']['commit']})"
set style data histograms
set style fill solid 0.8
set datafile missing "?"
set logscale y
set grid ytics
set xtics rotate by -35
$data << EOD
{chr(10).join(lines)}
EOD
plot $data using 2:xtic(1) title "sherd", "" using 3 title "redis", "" using 4 title "floor"
"""
    done = subprocess.run([gnuplot], input=script, text=True, capture_output=True)
    print(f"drawn: {path}" if done.returncode == 0 else f"gnuplot: {done.stderr.strip()}")
