#!/bin/sh
# Writes what the chart renders: charts/coffer.yaml, to be applied without Helm, and beside each example of values what
# becomes of them. A test compares. Needs helm in .tools/bin.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root/charts"
helm=$root/.tools/bin/helm

# render VALUES: as a cluster would have it that knows the kinds of monitoring.
render() {
    "$helm" template coffer coffer --namespace coffer-system --values "$1" \
        --api-versions monitoring.coreos.com/v1/PodMonitor --api-versions monitoring.coreos.com/v1/PrometheusRule
}

for values in examples/*/values.yaml; do
    {
        echo "# Written by \`make manifests\` from values.yaml beside it."
        render "$values"
    } >"${values%/*}/rendered.yaml"
done
{
    echo "# Coffer without Helm, by \`make manifests\` from the chart: the provider with its defaults, for the namespace"
    echo "# coffer-system. kubectl create namespace coffer-system; kubectl apply -f coffer.yaml"
    render examples/default/values.yaml
} >coffer.yaml
