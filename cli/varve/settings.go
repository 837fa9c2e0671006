package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/varvelog/varve/client"
)

// settingsListing lists settings; those at their defaults only if all is set. The documentation is in JSON and YAML alone:
// it is a line of its own.
func settingsListing(settings []client.Setting, all bool) listing {
	l := listing{name: "configs", columns: []column{
		{"CONFIG", "config"}, {"SOURCE", "source"}, {"EFFECT", "effect"}, {"DEFAULT", "default"}, {"VALUE", "value"}, // last, as it may be long
		{"", "documentation"},
	}}
	for _, s := range settings {
		if !all && s.Source == "default" {
			continue
		}
		var value, effect, doc any = s.Value, nil, nil
		if s.Secret {
			value = nil
		}
		if e, _ := s.Effect(); e != client.EffectUnknown {
			effect, doc = string(e), s.Doc
		}
		l.rows = append(l.rows, []any{s.Name, s.Source, effect, s.Default, value, doc})
	}
	return l
}

// notCompacted is how Varve ends what it says of cleanup.policy while it does not compact.
const notCompacted = "not compacted yet"

// compaction is what there is to know of a compacted topic, empty if it is none or nothing is to be said.
func compaction(settings []client.Setting) string {
	for _, s := range settings {
		if s.Name == "cleanup.policy" && strings.Contains(s.Value, "compact") && strings.Contains(s.Doc, notCompacted) {
			return notCompacted
		}
	}
	return ""
}

// warnIdle tells on stderr which of the configs that were just set do not act, and why. That they could not be asked for is no
// failure of what was done.
func warnIdle(ctx context.Context, w *world, c *client.Client, topic string, set map[string]string) {
	if len(set) == 0 {
		return
	}
	settings, err := c.TopicSettings(ctx, topic)
	if err != nil {
		return
	}
	for _, s := range settings {
		if _, ok := set[s.Name]; !ok {
			continue
		}
		switch e, why := s.Effect(); e {
		case client.EffectNone:
			fmt.Fprintf(w.err, "warning: %s has no effect: %s\n", s.Name, why)
		case client.EffectLater:
			fmt.Fprintf(w.err, "warning: %s has no effect yet: %s\n", s.Name, why)
		}
	}
	if _, ok := set["cleanup.policy"]; ok {
		if s := compaction(settings); s != "" {
			fmt.Fprintf(w.err, "warning: cleanup.policy: records without a key are refused; logs are %s\n", s)
		}
	}
}
