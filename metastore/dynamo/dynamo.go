// Package dynamo is the metastore on DynamoDB, or what speaks its protocol: one table with the string keys pk and sk.
//
// Writes are sent once: a repeat by the SDK would find the effect of the first try and call it a failed condition. So a
// lost reply is ErrUnknown, and the caller repeats. Reads are tried up to three times. Every failed condition brings the
// old item, by ReturnValuesOnConditionCheckFailure; where a store leaves it out, one consistent read does.
//
// The package starts no goroutines of its own; the HTTP client has two for each connection, which Close ends when idle.
package dynamo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/logging"
	"github.com/varvelog/varve/metastore"
)

// Config says where the table is.
type Config struct {
	Table    string
	Region   string // empty: as the environment says
	Endpoint string // URL of a store that is not AWS; empty: AWS

	// Timeout bounds one call, tries of a read together. 0: 3 s. A time-out of a write is ErrUnknown.
	Timeout time.Duration
	// ConnectTimeout bounds one dial. 0: 1 s.
	ConnectTimeout time.Duration
	// MaxIdle is how many idle connections are kept, at least as many as calls run at once. 0: 128.
	MaxIdle int
	// Credentials; nil: the usual AWS chain of environment, files and role.
	Credentials aws.CredentialsProvider
}

// readTries is how often a read is sent at most.
const readTries = 3

// Store is a table.
type Store struct {
	cfg    Config // with defaults in place
	creds  aws.CredentialsProvider
	http   *http.Client
	client *dynamodb.Client
	reads  func(*dynamodb.Options)
}

var _ metastore.Store = (*Store)(nil)

// New makes a client; it sends nothing yet (see Check). Error: ErrRefused.
func New(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Table == "" {
		return nil, fmt.Errorf("%w: no table is named", metastore.ErrRefused)
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, 3*time.Second)
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, time.Second)
	cfg.MaxIdle = cmp.Or(cfg.MaxIdle, 128)
	s := &Store{cfg: cfg}
	ac, err := awsconfig.LoadDefaultConfig(ctx, func(o *awsconfig.LoadOptions) error {
		o.Region, o.HTTPClient = cfg.Region, awshttp.NewBuildableClient() // the type that takes AWS_CA_BUNDLE
		o.Logger = logging.Nop{}                                          // the search for a role would warn on stderr
		if cfg.Credentials != nil {
			o.Credentials = cfg.Credentials
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: load AWS configuration: %w", metastore.ErrRefused, err)
	}
	if ac.Region == "" {
		return nil, fmt.Errorf("%w: no region for table %s: give region= in the URL, or AWS_REGION", metastore.ErrRefused, cfg.Table)
	}
	s.cfg.Region, s.creds, s.http = ac.Region, ac.Credentials, httpClient(ac.HTTPClient, cfg)
	s.client = dynamodb.NewFromConfig(ac, func(o *dynamodb.Options) {
		if cfg.Endpoint != "" {
			o.BaseEndpoint = &cfg.Endpoint
		}
		o.HTTPClient, o.Retryer = s.http, aws.NopRetryer{}
		o.Logger = logging.Nop{}                 // errors say what there is to say
		o.DisableValidateResponseChecksum = true // with local stores each conflict would be logged as a mismatch
	})
	retryer := retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff, o.RateLimiter = readTries, 200*time.Millisecond, ratelimit.None
	})
	s.reads = func(o *dynamodb.Options) { o.Retryer = retryer }
	return s, nil
}

// httpClient is base, with enough connections and with a way to close them.
func httpClient(base aws.HTTPClient, cfg Config) *http.Client {
	b, ok := base.(*awshttp.BuildableClient)
	if !ok {
		b = awshttp.NewBuildableClient()
	}
	tr, d := b.GetTransport(), b.GetDialer()
	d.Timeout = cfg.ConnectTimeout
	tr.DialContext = d.DialContext
	tr.MaxIdleConns, tr.MaxIdleConnsPerHost, tr.IdleConnTimeout = cfg.MaxIdle, cfg.MaxIdle, 50*time.Second
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Close closes idle connections. Calls may not follow.
func (s *Store) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// Get implements metastore.Store.
func (s *Store) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (metastore.Item, error) {
	if err := cmp.Or(key.Validate(), done(ctx)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.cfg.Table, Key: toKey(key), ConsistentRead: aws.Bool(bool(c)),
	}, s.reads)
	if err != nil {
		return nil, s.wrap(err, "get", key)
	}
	it, err := fromItem(out.Item)
	if err != nil {
		return nil, fmt.Errorf("%w: get %s: %w", metastore.ErrRefused, key, err)
	}
	if it == nil {
		return nil, fmt.Errorf("%w: %s", metastore.ErrNotFound, key)
	}
	return it, nil
}

// Query implements metastore.Store.
func (s *Store) Query(ctx context.Context, q metastore.Query) (metastore.Page, error) {
	if err := cmp.Or(q.Validate(), done(ctx)); err != nil {
		return metastore.Page{}, err
	}
	in, some := queryInput(q)
	if !some {
		return metastore.Page{}, nil
	}
	in.TableName = &s.cfg.Table
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	out, err := s.client.Query(ctx, in, s.reads)
	if err != nil {
		return metastore.Page{}, s.wrap(err, "query", metastore.Key{PK: q.PK, SK: q.Prefix + "*"})
	}
	page := metastore.Page{Next: sortKey(out.LastEvaluatedKey)}
	for _, a := range out.Items {
		it, err := fromItem(a)
		if err != nil {
			return metastore.Page{}, fmt.Errorf("%w: query %s / %s: %w", metastore.ErrRefused, q.PK, sortKey(a), err)
		}
		page.Rows = append(page.Rows, metastore.Row{SK: sortKey(a), Item: it})
	}
	return page, nil
}

// queryInput is q but for the table; some is false if no key can match. DynamoDB refuses a start outside of the prefix.
func queryInput(q metastore.Query) (in *dynamodb.QueryInput, some bool) {
	e := newExpr()
	text := e.name(pkAttr) + " = " + e.value(toValue(metastore.S(q.PK)))
	in = &dynamodb.QueryInput{ConsistentRead: aws.Bool(bool(q.Consistency))}
	if q.Prefix != "" {
		text += " AND begins_with(" + e.name(skAttr) + ", " + e.value(toValue(metastore.S(q.Prefix))) + ")"
	}
	if q.After > q.Prefix || q.After != "" && q.After == q.Prefix {
		if len(q.After) < len(q.Prefix) || q.After[:len(q.Prefix)] != q.Prefix {
			return nil, false
		}
		in.ExclusiveStartKey = toKey(metastore.Key{PK: q.PK, SK: q.After})
	}
	if q.Limit > 0 {
		in.Limit = aws.Int32(int32(min(q.Limit, 1<<20)))
	}
	in.KeyConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues = &text, e.names, e.values
	return in, true
}

// Write implements metastore.Store.
func (s *Store) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	if err := cmp.Or(metastore.ValidateWrite(op), done(ctx)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	it, err := s.send(ctx, op)
	var failed *types.ConditionalCheckFailedException
	switch {
	case errors.As(err, &failed):
		return nil, s.failed(ctx, op, 0, failed.Item)
	case err != nil:
		return nil, s.wrap(err, "write", op.Key)
	}
	return it, nil
}

// send sends op and returns the item after it.
func (s *Store) send(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	e := newExpr()
	cond := e.condition(op)
	const old = types.ReturnValuesOnConditionCheckFailureAllOld
	switch op.Kind {
	case metastore.OpPut:
		_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: &s.cfg.Table, Item: toItem(op.Key, op.Set), ConditionExpression: cond, ReturnValuesOnConditionCheckFailure: old,
			ExpressionAttributeNames: e.attributeNames(), ExpressionAttributeValues: e.attributeValues(),
		})
		if err != nil || op.Set == nil {
			return metastore.Item{}, err
		}
		return op.Set.Clone(), nil
	case metastore.OpDelete:
		_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
			TableName: &s.cfg.Table, Key: toKey(op.Key), ConditionExpression: cond, ReturnValuesOnConditionCheckFailure: old,
			ExpressionAttributeNames: e.attributeNames(), ExpressionAttributeValues: e.attributeValues(),
		})
		return nil, err
	}
	out, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &s.cfg.Table, Key: toKey(op.Key), ConditionExpression: cond, ReturnValuesOnConditionCheckFailure: old,
		UpdateExpression: e.update(op), ReturnValues: types.ReturnValueAllNew,
		ExpressionAttributeNames: e.attributeNames(), ExpressionAttributeValues: e.attributeValues(),
	})
	if err != nil {
		return nil, err
	}
	it, err := fromItem(out.Attributes)
	if err == nil && it == nil {
		err = errors.New("the store returned no item after an update")
	}
	return it, err
}

// Transact implements metastore.Store. The token that the SDK adds is new for each call and nothing relies on it.
func (s *Store) Transact(ctx context.Context, ops []metastore.Op) error {
	if err := cmp.Or(metastore.ValidateTransact(ops), done(ctx)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	in := &dynamodb.TransactWriteItemsInput{TransactItems: make([]types.TransactWriteItem, len(ops))}
	for i, op := range ops {
		in.TransactItems[i] = s.part(op)
	}
	_, err := s.client.TransactWriteItems(ctx, in)
	var cancelled *types.TransactionCanceledException
	switch {
	case errors.As(err, &cancelled):
		return s.cancelled(ctx, ops, cancelled)
	case err != nil:
		return s.wrap(err, fmt.Sprintf("transact %d ops, the first on", len(ops)), ops[0].Key)
	}
	return nil
}

// part is op as a part of a transaction.
func (s *Store) part(op metastore.Op) types.TransactWriteItem {
	e := newExpr()
	cond := e.condition(op)
	const old = types.ReturnValuesOnConditionCheckFailureAllOld
	switch op.Kind {
	case metastore.OpPut:
		return types.TransactWriteItem{Put: &types.Put{
			TableName: &s.cfg.Table, Item: toItem(op.Key, op.Set), ConditionExpression: cond, ReturnValuesOnConditionCheckFailure: old,
			ExpressionAttributeNames: e.attributeNames(), ExpressionAttributeValues: e.attributeValues(),
		}}
	case metastore.OpDelete:
		return types.TransactWriteItem{Delete: &types.Delete{
			TableName: &s.cfg.Table, Key: toKey(op.Key), ConditionExpression: cond, ReturnValuesOnConditionCheckFailure: old,
			ExpressionAttributeNames: e.attributeNames(), ExpressionAttributeValues: e.attributeValues(),
		}}
	case metastore.OpCheck:
		return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
			TableName: &s.cfg.Table, Key: toKey(op.Key), ConditionExpression: cond, ReturnValuesOnConditionCheckFailure: old,
			ExpressionAttributeNames: e.attributeNames(), ExpressionAttributeValues: e.attributeValues(),
		}}
	}
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &s.cfg.Table, Key: toKey(op.Key), ConditionExpression: cond, ReturnValuesOnConditionCheckFailure: old,
		UpdateExpression: e.update(op), ExpressionAttributeNames: e.attributeNames(), ExpressionAttributeValues: e.attributeValues(),
	}}
}

// done returns ErrUnknown if ctx is over.
func done(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("%w: %w", metastore.ErrUnknown, err)
	}
	return nil
}
