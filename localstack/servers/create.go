package servers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// CreateBucket makes the bucket at the endpoint (http://HOST:PORT); one that is there already is fine.
func CreateBucket(ctx context.Context, endpoint, bucket string) error {
	return CreateBucketAs(ctx, endpoint, bucket, AccessKey, SecretKey)
}

// CreateBucketAs likewise, with other credentials.
func CreateBucketAs(ctx context.Context, endpoint, bucket, key, secret string) error {
	_, err := bucketClient(endpoint, key, secret).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket})
	var owned *s3types.BucketAlreadyOwnedByYou
	if err != nil && !errors.As(err, &owned) {
		return fmt.Errorf("create bucket %s at %s: %w", bucket, endpoint, err)
	}
	return nil
}

// DeleteBucketAs removes an empty bucket.
func DeleteBucketAs(ctx context.Context, endpoint, bucket, key, secret string) error {
	_, err := bucketClient(endpoint, key, secret).DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &bucket})
	if err != nil {
		return fmt.Errorf("delete bucket %s at %s: %w", bucket, endpoint, err)
	}
	return nil
}

func bucketClient(endpoint, key, secret string) *s3.Client {
	c := config()
	c.Credentials = credentials.NewStaticCredentialsProvider(key, secret, "")
	return s3.NewFromConfig(c, func(o *s3.Options) {
		o.BaseEndpoint = aws.String(endpoint)
		o.UsePathStyle = true
	})
}

// CreateTable makes a table with the string keys pk and sk, billed on demand, at the endpoint; one that is there already
// is fine. It returns once the table is usable.
func CreateTable(ctx context.Context, endpoint, table string) error {
	client := dynamodb.NewFromConfig(config(), func(o *dynamodb.Options) { o.BaseEndpoint = aws.String(endpoint) })
	_, err := client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName:   &table,
		BillingMode: ddb.BillingModePayPerRequest,
		KeySchema: []ddb.KeySchemaElement{
			{AttributeName: aws.String("pk"), KeyType: ddb.KeyTypeHash},
			{AttributeName: aws.String("sk"), KeyType: ddb.KeyTypeRange},
		},
		AttributeDefinitions: []ddb.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: ddb.ScalarAttributeTypeS},
			{AttributeName: aws.String("sk"), AttributeType: ddb.ScalarAttributeTypeS},
		},
	})
	var exists *ddb.ResourceInUseException
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("create table %s at %s: %w", table, endpoint, err)
	}
	for {
		out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
		if err != nil {
			return fmt.Errorf("describe table %s at %s: %w", table, endpoint, err)
		}
		if out.Table.TableStatus == ddb.TableStatusActive {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait for table %s at %s: %w", table, endpoint, ctx.Err())
		}
	}
}
