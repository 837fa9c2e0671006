package dynamo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/varvelog/varve/metastore"
)

// setupTimeout bounds Check and each call of CreateTable: these may have to wait for credentials.
const setupTimeout = 15 * time.Second

// setKeys is what to do about credentials that are absent or wrong.
const setKeys = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role"

// wantKeys is the key schema, as keysOf says it.
const wantKeys = "pk (HASH, S), sk (RANGE, S)"

// Check sees whether the table is there, has the right keys and can be reached. Call it once, before the first use. Errors:
// ErrRefused: one line that says what to do; else as the Store's.
func (s *Store) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	if s.creds == nil {
		return fmt.Errorf("%w: no AWS credentials for %s: %s", metastore.ErrRefused, s.where(), setKeys)
	}
	if _, err := s.creds.Retrieve(ctx); err != nil {
		return fmt.Errorf("%w: no AWS credentials for %s: %s: %w", metastore.ErrRefused, s.where(), setKeys, err)
	}
	table, err := s.describe(ctx)
	var missing *types.ResourceNotFoundException
	switch {
	case errors.As(err, &missing):
		return fmt.Errorf("%w: %s does not exist; make it with: %s", metastore.ErrRefused, s.where(), s.createCommand())
	case err != nil:
		return s.explain(err)
	}
	if got := keysOf(table); got != wantKeys {
		return fmt.Errorf("%w: %s has the keys %s, want %s; make another one with: %s", metastore.ErrRefused, s.where(), got, wantKeys, s.createCommand())
	}
	if st := table.TableStatus; st != types.TableStatusActive && st != types.TableStatusUpdating && st != "" {
		return fmt.Errorf("%w: %s is %s", metastore.ErrRefused, s.where(), st)
	}
	return nil
}

// explain says what to do about a table that can't be described. The SDK's own text repeats itself and hides the address.
func (s *Store) explain(err error) error {
	var api smithy.APIError
	var send *smithyhttp.RequestSendError
	switch {
	case errors.As(err, &api):
		switch api.ErrorCode() {
		case "UnrecognizedClientException", "InvalidSignatureException", "MissingAuthenticationTokenException", "IncompleteSignatureException",
			"ExpiredTokenException", "InvalidClientTokenId":
			return fmt.Errorf("%w: %s does not take the credentials: %s: %s: %s", metastore.ErrRefused, s.where(), setKeys, api.ErrorCode(), api.ErrorMessage())
		case "AccessDeniedException":
			return fmt.Errorf("%w: %s: allow dynamodb:DescribeTable: %s: %s", metastore.ErrRefused, s.where(), api.ErrorCode(), api.ErrorMessage())
		}
	case errors.As(err, &send):
		return fmt.Errorf("%w: no answer from %s: %w; look at region and endpoint of the URL, and at the network", metastore.ErrUnknown, s.where(), send.Err)
	}
	return s.wrap(err, "describe table", metastore.Key{PK: s.cfg.Table})
}

func (s *Store) describe(ctx context.Context) (*types.TableDescription, error) {
	out, err := s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.cfg.Table}, s.reads)
	if err != nil {
		return nil, err
	}
	if out.Table == nil {
		return &types.TableDescription{}, nil
	}
	return out.Table, nil
}

// keysOf is the key schema of t in words.
func keysOf(t *types.TableDescription) string {
	var keys []string
	for _, k := range t.KeySchema {
		typ := "?"
		i := slices.IndexFunc(t.AttributeDefinitions, func(d types.AttributeDefinition) bool {
			return aws.ToString(d.AttributeName) == aws.ToString(k.AttributeName)
		})
		if i >= 0 {
			typ = string(t.AttributeDefinitions[i].AttributeType)
		}
		keys = append(keys, fmt.Sprintf("%s (%s, %s)", aws.ToString(k.AttributeName), k.KeyType, typ))
	}
	return strings.Join(keys, ", ")
}

// createCommand is the command that makes the table.
func (s *Store) createCommand() string {
	at := ""
	if s.cfg.Endpoint != "" {
		at = " --endpoint-url " + s.cfg.Endpoint
	}
	return "aws dynamodb create-table --table-name " + s.cfg.Table +
		" --attribute-definitions AttributeName=pk,AttributeType=S AttributeName=sk,AttributeType=S" +
		" --key-schema AttributeName=pk,KeyType=HASH AttributeName=sk,KeyType=RANGE" +
		" --billing-mode PAY_PER_REQUEST --region " + s.cfg.Region + at
}

// CreateTable makes the table, paid per request, and waits until it can be used; one that is there already is left as it
// is. For tests and local servers: on AWS, Terraform does it.
func (s *Store) CreateTable(ctx context.Context) error {
	call, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	_, err := s.client.CreateTable(call, &dynamodb.CreateTableInput{
		TableName: &s.cfg.Table, BillingMode: types.BillingModePayPerRequest,
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String(pkAttr), KeyType: types.KeyTypeHash}, {AttributeName: aws.String(skAttr), KeyType: types.KeyTypeRange},
		},
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(pkAttr), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(skAttr), AttributeType: types.ScalarAttributeTypeS},
		},
	})
	var inUse *types.ResourceInUseException
	if err != nil && !errors.As(err, &inUse) {
		return s.wrap(err, "create table", metastore.Key{PK: s.cfg.Table})
	}
	for {
		table, err := s.describe(ctx)
		if err != nil {
			return s.wrap(err, "describe table", metastore.Key{PK: s.cfg.Table})
		}
		if table.TableStatus == types.TableStatusActive {
			return nil
		}
		select {
		case <-ctx.Done():
			return done(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
