package main

import (
	"log/slog"
	"net/url"
	"strconv"

	"github.com/varvelog/varve/metastore"
	factfault "github.com/varvelog/varve/metastore/fault"
	factsim "github.com/varvelog/varve/metastore/sim"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/fault"
	"github.com/varvelog/varve/objstore/sim"
)

// wrapObjects puts the latency and the failures that a URL asks for around a store; failures go outside.
func wrapObjects(s objstore.Store, u storeURL, log *slog.Logger) (objstore.Store, error) {
	if u.sim != nil {
		seed, err := seedOf(u.sim)
		if err != nil {
			return nil, err
		}
		model, err := sim.Named(u.sim.Get("model"))
		if err != nil {
			return nil, err
		}
		log.Warn("the object store is slow on purpose", "model", model.Name, "seed", seed)
		s = sim.New(s, model, seed)
	}
	if u.faults != nil {
		plan, err := fault.ParsePlan(u.faults)
		if err != nil {
			return nil, err
		}
		log.Warn("the object store fails on purpose", "plan", u.faults.Encode())
		s = fault.New(s, plan)
	}
	return s, nil
}

// wrapFacts does the same for a metastore.
func wrapFacts(s metastore.Store, u storeURL, log *slog.Logger) (metastore.Store, error) {
	if u.sim != nil {
		seed, err := seedOf(u.sim)
		if err != nil {
			return nil, err
		}
		model, err := factsim.Named(u.sim.Get("model"))
		if err != nil {
			return nil, err
		}
		log.Warn("the metastore is slow on purpose", "model", model.Name, "seed", seed)
		s = factsim.New(s, model, seed)
	}
	if u.faults != nil {
		plan, err := factfault.ParsePlan(u.faults)
		if err != nil {
			return nil, err
		}
		log.Warn("the metastore fails on purpose", "plan", u.faults.Encode())
		s = factfault.New(s, plan)
	}
	return s, nil
}

// seedOf reads the parameter seed; absent is 1, as for failures.
func seedOf(params url.Values) (uint64, error) {
	s := params.Get("seed")
	if s == "" {
		return 1, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, usagef("parameter seed: %q is not a whole number from 0", s)
	}
	return n, nil
}
