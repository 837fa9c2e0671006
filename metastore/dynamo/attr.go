// Pure.

package dynamo

import (
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/varvelog/varve/metastore"
)

// Names of the key attributes.
const (
	pkAttr = "pk"
	skAttr = "sk"
)

type attrs = map[string]types.AttributeValue

// toValue is v as DynamoDB has it.
func toValue(v metastore.Value) types.AttributeValue {
	if s, ok := v.Str(); ok {
		return &types.AttributeValueMemberS{Value: s}
	}
	if n, ok := v.Num(); ok {
		return number(n)
	}
	b, _ := v.Bytes()
	if b == nil {
		b = []byte{} // nil would be sent as null
	}
	return &types.AttributeValueMemberB{Value: b}
}

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// toKey is k as attributes.
func toKey(k metastore.Key) attrs {
	return attrs{pkAttr: &types.AttributeValueMemberS{Value: k.PK}, skAttr: &types.AttributeValueMemberS{Value: k.SK}}
}

// toItem is it with its key.
func toItem(k metastore.Key, it metastore.Item) attrs {
	a := make(attrs, len(it)+2)
	for name, v := range it {
		a[name] = toValue(v)
	}
	a[pkAttr] = &types.AttributeValueMemberS{Value: k.PK}
	a[skAttr] = &types.AttributeValueMemberS{Value: k.SK}
	return a
}

// fromItem is a without the key; nil if a is empty, for an item always has its key.
func fromItem(a attrs) (metastore.Item, error) {
	if len(a) == 0 {
		return nil, nil
	}
	it := make(metastore.Item, len(a))
	for name, v := range a {
		if name == pkAttr || name == skAttr {
			continue
		}
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			it[name] = metastore.S(v.Value)
		case *types.AttributeValueMemberB:
			it[name] = metastore.B(v.Value)
		case *types.AttributeValueMemberN:
			n, err := strconv.ParseInt(v.Value, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("attribute %q: %w", name, err)
			}
			it[name] = metastore.N(n)
		default:
			return nil, fmt.Errorf("attribute %q has the type %T, which Varve never writes", name, v)
		}
	}
	return it, nil
}

// sortKey is the sort key in a.
func sortKey(a attrs) string {
	if s, ok := a[skAttr].(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}
