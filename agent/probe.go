package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/varvelog/varve/agent/probe"
)

func newProbeGauge() *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "varve_store_probe", Help: "Result of each check of the stores at the start: 1 passed, 0 failed, -1 undecided.",
	}, []string{"check"})
}

// probeStores looks whether the stores keep their contracts: an error if no agent must run on them. Embedded stores do.
func (a *Agent) probeStores(ctx context.Context) error {
	if a.cfg.Exclusive && !a.cfg.Probe {
		return nil
	}
	a.notReady("probing the stores")
	report, err := probe.Run(ctx, probe.Config{Cluster: a.cluster, Keys: a.keys}, a.stores.Objects, a.stores.Facts)
	if err != nil {
		return fmt.Errorf("probe the stores: %w", err)
	}
	passed := 0
	for _, f := range report.Findings {
		result := 0.0
		switch {
		case f.Err == nil:
			result = 1
			passed++
		case f.Undecided():
			result = -1
			a.log.Warn("the stores answer too badly for a probe; going on without it", "check", f.Check, "err", f.Err)
		case !f.Fatal:
			a.log.Warn("a store does not do all that it should; going on, because no record depends on it", "check", f.Check, "err", f.Err)
		}
		a.probed.WithLabelValues(f.Check).Set(result)
	}
	a.log.Info("probed the stores", "checks", len(report.Findings), "passed", passed, "in", report.Took.Round(time.Millisecond))
	return report.Err()
}
