// Command create makes a bucket and a table, for localstack/local.sh: so that no aws command line tool is needed.
// What is there already is left as it is.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/varvelog/varve/localstack/servers"
)

func main() {
	store := flag.String("s3", "", "endpoint of the object store, http://HOST:PORT")
	bucket := flag.String("bucket", "varve", "bucket to create")
	meta := flag.String("dynamodb", "", "endpoint of DynamoDB, http://HOST:PORT")
	table := flag.String("table", "varve", "table to create")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := create(ctx, *store, *bucket, *meta, *table); err != nil {
		fmt.Fprintln(os.Stderr, "create:", err)
		os.Exit(1)
	}
}

func create(ctx context.Context, store, bucket, meta, table string) error {
	if err := servers.CreateBucket(ctx, store, bucket); err != nil {
		return err
	}
	return servers.CreateTable(ctx, meta, table)
}
