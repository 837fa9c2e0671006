package dynamo

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/varvelog/varve/metastore"
)

// What goes over the wire, to the letter: the bill and the meaning of every condition.
func TestRequests(t *testing.T) {
	set := metastore.Item{"size": metastore.N(-3), "b": metastore.B(nil), "s": metastore.S("")}
	all := []metastore.Cond{
		{Attr: "a", Cmp: metastore.Eq, Value: metastore.N(1)}, {Attr: "a", Cmp: metastore.Ne, Value: metastore.S("x")},
		{Attr: "b", Cmp: metastore.Lt, Value: metastore.B([]byte{255})}, {Attr: "b", Cmp: metastore.Le, Value: metastore.N(2)},
		{Attr: "b", Cmp: metastore.Gt, Value: metastore.N(3)}, {Attr: "b", Cmp: metastore.Ge, Value: metastore.N(4)},
		{Attr: "c", Cmp: metastore.Exists}, {Attr: "c", Cmp: metastore.Absent}, {Cmp: metastore.ItemExists}, {Cmp: metastore.ItemAbsent},
	}
	const where = `"Key":{"pk":{"S":"p"},"sk":{"S":"s"}}`
	const tail = `"ReturnValuesOnConditionCheckFailure":"ALL_OLD","TableName":"facts"`
	write := func(op metastore.Op) func(*Store) {
		op.Key = key
		return func(s *Store) { s.Write(t.Context(), op) }
	}
	for name, c := range map[string]struct {
		call func(*Store)
		want string
	}{
		"put": {write(metastore.Op{Kind: metastore.OpPut, Set: set}),
			`PutItem {"Item":{"b":{"B":""},"pk":{"S":"p"},"s":{"S":""},"size":{"N":"-3"},"sk":{"S":"s"}},` + tail + `}`},
		"put if": {write(metastore.Op{Kind: metastore.OpPut, If: all}),
			`PutItem {"ConditionExpression":"#0 = :0 AND (attribute_not_exists(#0) OR #0 <> :1) AND #1 < :2 AND #1 <= :3 AND #1 > :4 AND #1 >= :5` +
				` AND attribute_exists(#2) AND attribute_not_exists(#2) AND attribute_exists(#3) AND attribute_not_exists(#3)",` +
				`"ExpressionAttributeNames":{"#0":"a","#1":"b","#2":"c","#3":"pk"},` +
				`"ExpressionAttributeValues":{":0":{"N":"1"},":1":{"S":"x"},":2":{"B":"/w=="},":3":{"N":"2"},":4":{"N":"3"},":5":{"N":"4"}},` +
				`"Item":{"pk":{"S":"p"},"sk":{"S":"s"}},` + tail + `}`},
		"delete": {write(metastore.Op{Kind: metastore.OpDelete}), `DeleteItem {` + where + `,` + tail + `}`},
		"update": {write(metastore.Op{Kind: metastore.OpUpdate, Set: set, Add: map[string]int64{"y": -1, "x": 2}, Remove: []string{"z", "r"}}),
			`UpdateItem {"ConditionExpression":"(attribute_not_exists(#0) OR #0 <= :0) AND (attribute_not_exists(#1) OR #1 >= :1)",` +
				`"ExpressionAttributeNames":{"#0":"x","#1":"y","#2":"b","#3":"s","#4":"size","#5":"z","#6":"r"},` +
				`"ExpressionAttributeValues":{":0":{"N":"9223372036854775805"},":1":{"N":"-9223372036854775807"},":2":{"B":""},":3":{"S":""},` +
				`":4":{"N":"-3"},":5":{"N":"2"},":6":{"N":"-1"}},` + where +
				`,"ReturnValues":"ALL_NEW",` + tail + `,"UpdateExpression":"SET #2 = :2, #3 = :3, #4 = :4 ADD #0 :5, #1 :6 REMOVE #5, #6"}`},
		"get": {func(s *Store) { s.Get(t.Context(), key, metastore.Eventual) }, `GetItem {"ConsistentRead":false,` + where + `,"TableName":"facts"}`},
		"query": {func(s *Store) { s.Query(t.Context(), metastore.Query{PK: "p", Consistency: metastore.Consistent}) },
			`Query {"ConsistentRead":true,"ExpressionAttributeNames":{"#0":"pk"},"ExpressionAttributeValues":{":0":{"S":"p"}},` +
				`"KeyConditionExpression":"#0 = :0","TableName":"facts"}`},
		"query part": {func(s *Store) { s.Query(t.Context(), metastore.Query{PK: "p", Prefix: "a", After: "ab", Limit: 9}) },
			`Query {"ConsistentRead":false,"ExclusiveStartKey":{"pk":{"S":"p"},"sk":{"S":"ab"}},"ExpressionAttributeNames":{"#0":"pk","#1":"sk"},` +
				`"ExpressionAttributeValues":{":0":{"S":"p"},":1":{"S":"a"}},"KeyConditionExpression":"#0 = :0 AND begins_with(#1, :1)",` +
				`"Limit":9,"TableName":"facts"}`},
		"transact": {func(s *Store) {
			k2, k3 := metastore.Key{PK: "p", SK: "2"}, metastore.Key{PK: "p", SK: "3"}
			s.Transact(t.Context(), []metastore.Op{
				{Kind: metastore.OpPut, Key: key}, {Kind: metastore.OpCheck, Key: k2, If: all[8:9]},
				{Kind: metastore.OpUpdate, Key: k3, Remove: []string{"x"}},
			})
		}, `"TransactItems":[{"Put":{"Item":{"pk":{"S":"p"},"sk":{"S":"s"}},` + tail + `}},` +
			`{"ConditionCheck":{"ConditionExpression":"attribute_exists(#0)","ExpressionAttributeNames":{"#0":"pk"},"Key":{"pk":{"S":"p"},"sk":{"S":"2"}},` + tail + `}},` +
			`{"Update":{"ExpressionAttributeNames":{"#0":"x"},"Key":{"pk":{"S":"p"},"sk":{"S":"3"}},` + tail + `,"UpdateExpression":"REMOVE #0"}}]}`},
	} {
		f := newFake(t, reply{body: "{}"})
		c.call(client(t, f))
		a := f.asked()
		if len(a) != 1 || name != "transact" && a[0] != c.want || !strings.HasSuffix(a[0], c.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", name, a, c.want)
		}
	}
}

// A page that cannot have rows costs nothing.
func TestQueryOfNothing(t *testing.T) {
	f := newFake(t, reply{body: `{"Items":[]}`})
	s := client(t, f)
	for _, q := range []metastore.Query{{Prefix: "a", After: "b"}, {Prefix: "ab", After: "ac"}, {Prefix: "ab", After: "b"}} {
		q.PK = "p"
		if page, err := s.Query(t.Context(), q); err != nil || len(page.Rows) > 0 || page.Next != "" || len(f.asked()) != 0 {
			t.Errorf("%+v: %v, %v", q, page, err)
		}
	}
	for _, q := range []metastore.Query{{Prefix: "b", After: "a"}, {Prefix: "ab", After: "a"}} {
		q.PK = "p"
		s.Query(t.Context(), q)
		if a := f.asked(); len(a) != 1 || strings.Contains(a[0], "ExclusiveStartKey") {
			t.Errorf("%+v: %s", q, a)
		}
	}
}

func TestAttributes(t *testing.T) {
	it := metastore.Item{
		"s": metastore.S("x"), "e": metastore.S(""), "max": metastore.N(math.MaxInt64), "min": metastore.N(math.MinInt64),
		"b": metastore.B([]byte{0}), "nil": metastore.B(nil),
	}
	got, err := fromItem(toItem(key, it))
	if err != nil || !maps.EqualFunc(got, it, metastore.Value.Equal) {
		t.Errorf("%v, %v", got, err)
	}
	bare, err := fromItem(toKey(key))
	if err != nil || bare == nil || len(bare) != 0 {
		t.Errorf("bare item: %v, %v", bare, err)
	}
}

// What somebody else put into the table is an error that names the attribute, never another value.
func TestForeignItems(t *testing.T) {
	for value, says := range map[string]string{`{"BOOL":true}`: "BOOL", `{"N":"1.5"}`: "1.5", `{"N":"99999999999999999999"}`: "99999999999999999999", `{"NULL":true}`: "NULL"} {
		item := `{"pk":{"S":"p"},"sk":{"S":"s"},"odd":` + value + `}`
		_, err := client(t, newFake(t, reply{body: `{"Item":` + item + `}`})).Get(t.Context(), key, metastore.Consistent)
		only(t, value, err, metastore.ErrRefused)
		_, err2 := client(t, newFake(t, reply{body: `{"Items":[` + item + `]}`})).Query(t.Context(), metastore.Query{PK: "p"})
		only(t, value, err2, metastore.ErrRefused)
		for _, e := range []error{err, err2} {
			if !strings.Contains(e.Error(), `"odd"`) || !strings.Contains(e.Error(), says) {
				t.Errorf("%s: %v", value, e)
			}
		}
		op := metastore.Op{Kind: metastore.OpUpdate, Key: key, Set: metastore.Item{"n": metastore.N(1)}}
		_, err = client(t, newFake(t, reply{body: `{"Attributes":` + item + `}`})).Write(t.Context(), op)
		only(t, value+" after a write", err, metastore.ErrUnknown)
	}
}

func TestCheck(t *testing.T) {
	schema := func(keys, attrs, status string) reply {
		return reply{body: `{"Table":{"TableStatus":"` + status + `","KeySchema":[` + keys + `],"AttributeDefinitions":[` + attrs + `]}}`}
	}
	const (
		keys    = `{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}`
		defs    = `{"AttributeName":"sk","AttributeType":"S"},{"AttributeName":"pk","AttributeType":"S"}`
		command = "aws dynamodb create-table --table-name facts --attribute-definitions AttributeName=pk,AttributeType=S AttributeName=sk,AttributeType=S" +
			" --key-schema AttributeName=pk,KeyType=HASH AttributeName=sk,KeyType=RANGE --billing-mode PAY_PER_REQUEST --region eu-west-1 --endpoint-url "
	)
	for name, c := range map[string]struct {
		reply reply
		want  error
		says  []string
	}{
		"good":          {schema(keys, defs, "ACTIVE"), nil, nil},
		"updating":      {schema(keys, defs, "UPDATING"), nil, nil},
		"missing":       {failure(400, "ResourceNotFoundException", "m", ""), metastore.ErrRefused, []string{"facts", "does not exist", command}},
		"no sort key":   {schema(keys[:strings.Index(keys, "},")+1], defs, "ACTIVE"), metastore.ErrRefused, []string{"pk (HASH, S), want pk (HASH, S), sk (RANGE, S)", command}},
		"other names":   {schema(strings.ReplaceAll(keys, "pk", "id"), strings.ReplaceAll(defs, "pk", "id"), "ACTIVE"), metastore.ErrRefused, []string{"id (HASH, S)", command}},
		"number":        {schema(keys, strings.ReplaceAll(defs, `"S"`, `"N"`), "ACTIVE"), metastore.ErrRefused, []string{"pk (HASH, N)", command}},
		"being deleted": {schema(keys, defs, "DELETING"), metastore.ErrRefused, []string{"DELETING"}},
		"empty":         {reply{body: "{}"}, metastore.ErrRefused, []string{"want pk"}},
		"denied":        {failure(400, "AccessDeniedException", "not authorized", ""), metastore.ErrRefused, []string{"facts", "eu-west-1", "not authorized"}},
		"wrong secret":  {failure(400, "InvalidSignatureException", "no match", ""), metastore.ErrRefused, []string{"facts", "AWS_SECRET_ACCESS_KEY", "no match"}},
		"down":          {failure(500, "InternalServerError", "m", ""), metastore.ErrUnknown, nil},
	} {
		f := newFake(t, c.reply)
		err := client(t, f).Check(t.Context())
		if c.want == nil && err != nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, part := range c.says {
			if !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v does not say %s", name, err, part)
			}
		}
		if slices.Contains(c.says, command) && !strings.HasSuffix(err.Error(), command+f.URL) {
			t.Errorf("%s: %v has not the command at its end", name, err)
		}
	}
}

func TestCheckNobodyAnswers(t *testing.T) {
	f := newFake(t)
	s := client(t, f)
	f.Close()
	err := s.Check(t.Context())
	if !errors.Is(err, metastore.ErrUnknown) || !strings.Contains(err.Error(), "no answer from table facts in eu-west-1 at "+f.URL) ||
		!strings.Contains(err.Error(), "endpoint of the URL") || strings.Contains(err.Error(), "operation error") {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for name, cfg := range map[string]Config{"table": {Region: "x"}, "region": {Table: "x"}} {
		if _, err := New(t.Context(), cfg); !errors.Is(err, metastore.ErrRefused) || !strings.Contains(err.Error(), name) {
			t.Errorf("no %s: %v", name, err)
		}
	}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"} {
		t.Setenv(name, "")
	}
	s, err := New(t.Context(), Config{Table: "x", Region: "y"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Check(t.Context()); !errors.Is(err, metastore.ErrRefused) || !strings.Contains(err.Error(), "no AWS credentials for table x in y: set AWS_ACCESS_KEY_ID") {
		t.Errorf("no credentials: %v", err)
	}
}

// Bursts of calls find the connections of those before; with the two of Go's default each burst would dial.
func TestConnectionsAreKept(t *testing.T) {
	const calls = 50
	f := newFake(t, reply{body: "{}"})
	s := client(t, f)
	burst := func() int {
		var wg sync.WaitGroup
		for i := range calls {
			wg.Go(func() { s.Get(t.Context(), metastore.Key{PK: "p", SK: fmt.Sprint(i)}, metastore.Consistent) })
		}
		wg.Wait()
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.mu.conns
	}
	for range 9 {
		burst()
	}
	if n := burst(); n > 3*calls {
		t.Errorf("%d connections for bursts of %d", n, calls)
	}
}
