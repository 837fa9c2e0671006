package dynamo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/metastore"
)

var key = metastore.Key{PK: "p", SK: "s"}

func put() metastore.Op {
	return metastore.Op{
		Kind: metastore.OpPut, Key: key, Set: metastore.Item{"n": metastore.N(2)},
		If: []metastore.Cond{{Attr: "n", Cmp: metastore.Eq, Value: metastore.N(1)}},
	}
}

// only checks that err matches target and no other error of metastore.
func only(t *testing.T, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: got %v, want %v", what, err, target)
	}
	for _, e := range []error{
		metastore.ErrNotFound, metastore.ErrCondition, metastore.ErrConflict, metastore.ErrThrottled, metastore.ErrRefused,
		metastore.ErrTooLarge, metastore.ErrUnknown,
	} {
		if e != target && errors.Is(err, e) {
			t.Errorf("%s: %v is also %v", what, err, e)
		}
	}
}

func TestErrorsOfOneWrite(t *testing.T) {
	for _, c := range []struct {
		name  string
		reply reply
		want  error
	}{
		{"conflict", failure(400, "TransactionConflictException", "Transaction is ongoing for the item", ""), metastore.ErrConflict},
		{"in progress", failure(400, "TransactionInProgressException", "", ""), metastore.ErrConflict},
		{"capacity", failure(400, "ProvisionedThroughputExceededException", "slow down", ""), metastore.ErrThrottled},
		{"throttling", failure(400, "ThrottlingException", "slow down", ""), metastore.ErrThrottled},
		{"limit", failure(400, "RequestLimitExceeded", "slow down", ""), metastore.ErrThrottled},
		{"item size", failure(400, "ValidationException", "Item size has exceeded the maximum allowed size", ""), metastore.ErrTooLarge},
		{"item size of update", failure(400, "ValidationException", "Item size to update has exceeded the maximum allowed size", ""), metastore.ErrTooLarge},
		{"validation", failure(400, "ValidationException", "Invalid KeyConditionExpression", ""), metastore.ErrRefused},
		{"no table", failure(400, "ResourceNotFoundException", "Requested resource not found", ""), metastore.ErrRefused},
		{"denied", failure(400, "AccessDeniedException", "not authorized", ""), metastore.ErrRefused},
		{"unknown client", failure(400, "UnrecognizedClientException", "The security token is invalid", ""), metastore.ErrRefused},
		{"expired", failure(400, "ExpiredTokenException", "expired", ""), metastore.ErrRefused},
		{"unknown 4xx", failure(418, "Teapot", "short and stout", ""), metastore.ErrRefused},
		{"500", failure(500, "InternalServerError", "oops", ""), metastore.ErrUnknown},
		{"500 of another kind", failure(500, "Surprise", "oops", ""), metastore.ErrUnknown},
		{"503", failure(503, "ServiceUnavailable", "oops", ""), metastore.ErrUnknown},
		{"503 of a proxy", reply{status: 503, body: "<html>bad gateway"}, metastore.ErrUnknown},
		{"reply cut", reply{body: `{"Attributes":{"n":{"N"`}, metastore.ErrUnknown},
		{"reset", reply{do: reset}, metastore.ErrUnknown},
		{"reset in the reply", reply{do: resetLater}, metastore.ErrUnknown},
	} {
		f := newFake(t, c.reply)
		s := client(t, f)
		up := put()
		up.Kind = metastore.OpUpdate
		_, err := s.Write(t.Context(), up)
		only(t, c.name, err, c.want)
		if a := f.asked(); len(a) != 1 {
			t.Errorf("%s: %d requests for one write", c.name, len(a))
		}
		if errors.Is(err, metastore.ErrRefused) {
			for _, part := range []string{"facts", "eu-west-1", f.URL} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%s: %v does not name %s", c.name, err, part)
				}
			}
		}
		only(t, c.name+", transaction", s.Transact(t.Context(), []metastore.Op{put()}), c.want)
		if a := f.asked(); len(a) != 1 {
			t.Errorf("%s: %d requests for one transaction", c.name, len(a))
		}
	}
}

func reset(w http.ResponseWriter) {
	c, _, _ := w.(http.Hijacker).Hijack()
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

func resetLater(w http.ResponseWriter) {
	w.Header().Set("Content-Length", "100")
	w.Write([]byte(`{"Attributes":`))
	w.(http.Flusher).Flush()
	reset(w)
}

func TestTimeouts(t *testing.T) {
	free := make(chan struct{})
	f := newFake(t, reply{do: func(http.ResponseWriter) { <-free }})
	defer close(free)
	s := clientAt(t, f.URL, 50*time.Millisecond)
	_, err := s.Write(t.Context(), put())
	only(t, "time-out", err, metastore.ErrUnknown)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	only(t, "cancelled", s.Transact(ctx, []metastore.Op{put()}), metastore.ErrUnknown)
	if a := f.asked(); len(a) != 2 {
		t.Errorf("%d requests", len(a))
	}
	_, err = s.Get(t.Context(), key, metastore.Consistent)
	only(t, "read", err, metastore.ErrUnknown)

	gone := newFake(t, reply{})
	gone.Close()
	_, err = clientAt(t, gone.URL, time.Second).Write(t.Context(), put())
	only(t, "nobody listens", err, metastore.ErrUnknown)
}

// Reads are safe to repeat, a few times.
func TestReadsAreRepeated(t *testing.T) {
	oops := failure(500, "InternalServerError", "oops", "")
	f := newFake(t, oops, oops, reply{body: `{"Item":{"pk":{"S":"p"},"sk":{"S":"s"},"n":{"N":"7"}}}`}, oops)
	s := client(t, f)
	it, err := s.Get(t.Context(), key, metastore.Consistent)
	if n, _ := it["n"].Num(); err != nil || n != 7 || len(it) != 1 || len(f.asked()) != 3 {
		t.Errorf("%v, %v", it, err)
	}
	_, err = s.Query(t.Context(), metastore.Query{PK: "p"})
	only(t, "query", err, metastore.ErrUnknown)
	if n := len(f.asked()); n != readTries {
		t.Errorf("%d tries", n)
	}
}

const oldItem = `"Item":{"pk":{"S":"p"},"sk":{"S":"s"},"n":{"N":"5"}}`

// The old item comes with the failure, or is read; a failure without an item is not taken for an absent one.
func TestOldItem(t *testing.T) {
	bare := failure(400, "ConditionalCheckFailedException", "The conditional request failed", "")
	bareParts := failure(400, "TransactionCanceledException", "cancelled", `,"CancellationReasons":[{"Code":"ConditionalCheckFailed","Message":"m"}]`)
	denied := failure(400, "AccessDeniedException", "no", "")
	for _, c := range []struct {
		name   string
		script []reply
		want   error
		old    string
		asked  int
	}{
		{"with item", []reply{failure(400, "ConditionalCheckFailedException", "m", ","+oldItem)}, metastore.ErrCondition, "map[n:5]", 1},
		{"without, there", []reply{bare, {body: "{" + oldItem + "}"}}, metastore.ErrCondition, "map[n:5]", 2},
		{"without, absent", []reply{bare, {body: "{}"}}, metastore.ErrCondition, "map[]", 2},
		{"with an empty item", []reply{failure(400, "ConditionalCheckFailedException", "m", `,"Item":{}`), {body: "{}"}}, metastore.ErrCondition, "map[]", 2},
		{"without, not readable", []reply{bare, denied}, metastore.ErrUnknown, "", 2},
		{"item of a foreign type", []reply{failure(400, "ConditionalCheckFailedException", "m", `,"Item":{"pk":{"S":"p"},"sk":{"S":"s"},"x":{"BOOL":true}}`)}, metastore.ErrRefused, "", 1},
		{"part with item", []reply{failure(400, "TransactionCanceledException", "m", `,"CancellationReasons":[{"Code":"ConditionalCheckFailed",`+oldItem+`}]`)}, metastore.ErrCondition, "map[n:5]", 1},
		{"part without, there", []reply{bareParts, {body: "{" + oldItem + "}"}}, metastore.ErrCondition, "map[n:5]", 2},
		{"part without, absent", []reply{bareParts, {body: "{}"}}, metastore.ErrCondition, "map[]", 2},
		{"part without, not readable", []reply{bareParts, denied}, metastore.ErrUnknown, "", 2},
	} {
		f := newFake(t, c.script...)
		s := client(t, f)
		var err error
		if strings.HasPrefix(c.name, "part") {
			err = s.Transact(t.Context(), []metastore.Op{put()})
		} else {
			_, err = s.Write(t.Context(), put())
		}
		only(t, c.name, err, c.want)
		var failed *metastore.ConditionError
		if errors.As(err, &failed) && (fmt.Sprint(failed.Old) != c.old || failed.Key != key || (failed.Old == nil) != (c.old == "map[]")) {
			t.Errorf("%s: old item %v of %v", c.name, failed.Old, failed.Key)
		}
		a := f.asked()
		if len(a) != c.asked || len(a) == 2 && a[1] != `GetItem {"ConsistentRead":true,"Key":{"pk":{"S":"p"},"sk":{"S":"s"}},"TableName":"facts"}` {
			t.Errorf("%s: asked %v", c.name, a)
		}
	}
}

func TestReasonsOfTransactions(t *testing.T) {
	const (
		none      = `{"Code":"None"}`
		conflict  = `{"Code":"TransactionConflict","Message":"m"}`
		throttled = `{"Code":"ThrottlingError","Message":"m"}`
		capacity  = `{"Code":"ProvisionedThroughputExceeded","Message":"m"}`
		tooLarge  = `{"Code":"ValidationError","Message":"Item size to update has exceeded the maximum allowed size"}`
		invalid   = `{"Code":"ValidationError","Message":"An operand in the update expression has an incorrect data type"}`
		strange   = `{"Code":"Strange","Message":"m"}`
		failed    = `{"Code":"ConditionalCheckFailed","Message":"m",` + oldItem + `}`
	)
	ops := []metastore.Op{put(), put(), put()}
	for i := range ops {
		ops[i].Key.SK = fmt.Sprint("s", i)
	}
	for reasons, want := range map[string]struct {
		err   error
		index int
	}{
		none + "," + conflict + "," + none:      {metastore.ErrConflict, 0},
		none + "," + throttled + "," + none:     {metastore.ErrThrottled, 0},
		capacity + "," + none + "," + none:      {metastore.ErrThrottled, 0},
		none + "," + none + "," + tooLarge:      {metastore.ErrTooLarge, 0},
		none + "," + none + "," + invalid:       {metastore.ErrRefused, 0},
		strange + "," + none + "," + none:       {metastore.ErrRefused, 0},
		none + "," + failed + "," + failed:      {metastore.ErrCondition, 1},
		conflict + "," + none + "," + failed:    {metastore.ErrCondition, 2},
		invalid + "," + failed + "," + conflict: {metastore.ErrCondition, 1},
		conflict + "," + throttled + "," + none: {metastore.ErrConflict, 0},
		"":                                      {metastore.ErrUnknown, 0},
	} {
		f := newFake(t, failure(400, "TransactionCanceledException", "cancelled", `,"CancellationReasons":[`+reasons+`]`))
		err := client(t, f).Transact(t.Context(), ops)
		only(t, reasons, err, want.err)
		var c *metastore.ConditionError
		if errors.As(err, &c) && (c.Index != want.index || c.Key != ops[want.index].Key || !c.Old["n"].Equal(metastore.N(5))) {
			t.Errorf("%s: %+v", reasons, c)
		}
		if n := len(f.asked()); n != 1 {
			t.Errorf("%s: %d requests", reasons, n)
		}
	}
}

// If the first failed part cannot be told, a later one is not taken for the first.
func TestFirstReasonUnknown(t *testing.T) {
	f := newFake(t, failure(400, "TransactionCanceledException", "m",
		`,"CancellationReasons":[{"Code":"ConditionalCheckFailed"},{"Code":"ConditionalCheckFailed",`+oldItem+`}]`),
		failure(400, "AccessDeniedException", "no", ""))
	second := put()
	second.Key.SK = "2"
	only(t, "first reason", client(t, f).Transact(t.Context(), []metastore.Op{put(), second}), metastore.ErrUnknown)
}

// The guard of a sum fails like a condition, but it is no answer to what the caller asked.
func TestGuardOfSums(t *testing.T) {
	full := `,"Item":{"pk":{"S":"p"},"sk":{"S":"s"},"n":{"N":"9223372036854775807"}}`
	op := metastore.Op{Kind: metastore.OpUpdate, Key: key, Add: map[string]int64{"n": 1}}
	f := newFake(t, failure(400, "ConditionalCheckFailedException", "m", full))
	s := client(t, f)
	_, err := s.Write(t.Context(), op)
	only(t, "sum past int64", err, metastore.ErrRefused)
	op.If = []metastore.Cond{{Attr: "n", Cmp: metastore.Lt, Value: metastore.N(3)}}
	_, err = s.Write(t.Context(), op)
	only(t, "a condition of the caller's", err, metastore.ErrCondition)
}
