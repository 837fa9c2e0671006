// Pure.

package dynamo

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/varvelog/varve/metastore"
)

// expr builds the expressions of one request. Every name and value goes by a placeholder (#0, :0), because many words are
// reserved and names may hold anything. Equal input gives equal text.
type expr struct {
	names  map[string]string // placeholder -> name
	byName map[string]string
	values attrs
}

func newExpr() *expr {
	return &expr{names: map[string]string{}, byName: map[string]string{}, values: attrs{}}
}

func (e *expr) name(attr string) string {
	if p, ok := e.byName[attr]; ok {
		return p
	}
	p := "#" + strconv.Itoa(len(e.names))
	e.names[p], e.byName[attr] = attr, p
	return p
}

func (e *expr) value(v types.AttributeValue) string {
	p := ":" + strconv.Itoa(len(e.values))
	e.values[p] = v
	return p
}

// condition is op.If, and that no sum of op.Add leaves int64 or meets what is no number; nil if there is nothing to ask.
func (e *expr) condition(op metastore.Op) *string {
	var terms []string
	for _, c := range op.If {
		terms = append(terms, e.term(c))
	}
	for _, a := range slices.Sorted(maps.Keys(op.Add)) {
		// Numbers of DynamoDB have 38 digits: a sum past int64 would be stored, and nobody could read the item again. A
		// comparison with another type is false.
		cmp, bound := " <= ", math.MaxInt64-max(op.Add[a], 0)
		if op.Add[a] < 0 {
			cmp, bound = " >= ", math.MinInt64-op.Add[a]
		}
		n := e.name(a)
		terms = append(terms, "(attribute_not_exists("+n+") OR "+n+cmp+e.value(number(bound))+")")
	}
	if len(terms) == 0 {
		return nil
	}
	return aws.String(strings.Join(terms, " AND "))
}

func (e *expr) term(c metastore.Cond) string {
	switch c.Cmp {
	case metastore.ItemExists:
		return "attribute_exists(" + e.name(pkAttr) + ")"
	case metastore.ItemAbsent:
		return "attribute_not_exists(" + e.name(pkAttr) + ")"
	case metastore.Exists:
		return "attribute_exists(" + e.name(c.Attr) + ")"
	case metastore.Absent:
		return "attribute_not_exists(" + e.name(c.Attr) + ")"
	}
	n, v := e.name(c.Attr), e.value(toValue(c.Value))
	switch c.Cmp {
	case metastore.Eq:
		return n + " = " + v
	case metastore.Ne:
		return "(attribute_not_exists(" + n + ") OR " + n + " <> " + v + ")"
	case metastore.Lt:
		return n + " < " + v
	case metastore.Le:
		return n + " <= " + v
	case metastore.Gt:
		return n + " > " + v
	}
	return n + " >= " + v
}

// update is the changes of op.
func (e *expr) update(op metastore.Op) *string {
	var clauses []string
	add := func(word string, parts []string) {
		if len(parts) > 0 {
			clauses = append(clauses, word+" "+strings.Join(parts, ", "))
		}
	}
	var set, sum, remove []string
	for _, a := range slices.Sorted(maps.Keys(op.Set)) {
		set = append(set, e.name(a)+" = "+e.value(toValue(op.Set[a])))
	}
	for _, a := range slices.Sorted(maps.Keys(op.Add)) {
		sum = append(sum, e.name(a)+" "+e.value(number(op.Add[a])))
	}
	for _, a := range op.Remove {
		remove = append(remove, e.name(a))
	}
	add("SET", set)
	add("ADD", sum)
	add("REMOVE", remove)
	return aws.String(strings.Join(clauses, " "))
}

// attributeNames is what goes with the expressions; nil rather than empty, which DynamoDB refuses.
func (e *expr) attributeNames() map[string]string {
	if len(e.names) == 0 {
		return nil
	}
	return e.names
}

func (e *expr) attributeValues() attrs {
	if len(e.values) == 0 {
		return nil
	}
	return e.values
}
