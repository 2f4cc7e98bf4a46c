#!/usr/bin/env bash
# Prometheus 2.42 sees no increase when a counter is born with its first event.
#
# Expected: increase(paid_twice_total[5m]) > 0 fires when the first double payment is counted.
# Seen: a labelled counter appears with its first event, at 1; the increase from nothing to 1 is 0, and the alert stays silent
#       over the whole incident. The same event on a series that existed at 0 makes it fire.
# So: a counter whose first event matters is exported as 0 for every label from the start.
# Needs Debian 12's apt-get; the package is unpacked in the temporary folder, nothing is installed.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
chmod 711 "$d"
cd "$d"
apt-get -qq download "prometheus=2.42.0*" 2>/dev/null || { apt-get -qq update && apt-get -qq download "prometheus=2.42.0*"; }
dpkg -x prometheus_*.deb deb
promtool=deb/usr/bin/promtool
"$promtool" --version | head -1

cat > rules.yml <<'YAML'
groups:
  - name: money
    rules:
      - alert: PaidTwice
        expr: increase(paid_twice_total[5m]) > 0
YAML

# The counter appears after two minutes with the value 1, or stands at 0 until then.
test_of() { # FIRST_VALUES EXPECTED_ALERTS
    cat > test.yml <<YAML
rule_files: [rules.yml]
evaluation_interval: 15s
tests:
  - interval: 15s
    input_series:
      - series: 'paid_twice_total{provider="one"}'
        values: '$1 1x40'
    alert_rule_test:
$(for at in 2m 3m 4m 6m; do echo "      - {eval_time: $at, alertname: PaidTwice, exp_alerts: $2}"; done)
YAML
    "$promtool" test rules test.yml > said.txt 2>&1
}

fires='[{exp_labels: {provider: one}}]'
seen="born at 1:"
if test_of '_x8' '[]'; then seen+=" never fires,"; else seen+=" fires,"; fi
seen+=" born at 0:"
if test_of '0x7' "$fires"; then seen+=" fires"; else seen+=" does not fire each time"; fi
echo "expected: born at 1: fires, born at 0: fires"
echo "seen: $seen"
recorded="born at 1: never fires, born at 0: fires"
[ "$seen" = "$recorded" ] || { echo "the behaviour changed"; exit 1; }
