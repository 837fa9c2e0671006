package topic

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Each topic config takes its default from the broker configs that Kafka takes it from, in the same order and units. The list was
// dumped from Kafka's own class.
func TestSynonymsAreKafkas(t *testing.T) {
	var want, got []string
	for _, k := range kafkaConfigs(t, "synonyms-4.3.0.tsv") {
		want = append(want, strings.Join(k, " "))
		if find(brokerDefs, k[1]) == nil {
			t.Errorf("the broker config %s is not known", k[1])
		}
	}
	for name, list := range synonyms {
		for _, y := range list {
			if !strings.HasPrefix(name, "varve.") {
				got = append(got, fmt.Sprint(name, " ", y.name, " ", max(y.unit, 1)))
			}
		}
	}
	slices.SortStableFunc(got, func(a, b string) int {
		topicA, _, _ := strings.Cut(a, " ")
		topicB, _, _ := strings.Cut(b, " ")
		return cmp.Compare(topicA, topicB)
	})
	if !slices.Equal(got, want) {
		t.Errorf("they are\n%s\nin Kafka\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i := range topicDefs {
		if d := &topicDefs[i]; len(d.from) != len(synonyms[d.name]) {
			t.Errorf("%s has %d synonyms, the table %d", d.name, len(d.from), len(synonyms[d.name]))
		}
	}
}
