# What an agent needs to use the bucket and the table of compose.yaml; for a shell:  . localstack/env.sh
export AWS_ACCESS_KEY_ID=varve
export AWS_SECRET_ACCESS_KEY=varvevarve
export AWS_REGION=us-east-1
export VARVE_STORE="s3://varve?region=us-east-1&endpoint=http://127.0.0.1:${VARVE_S3_PORT:-9000}&path_style=true"
export VARVE_META="dynamodb://varve?region=us-east-1&endpoint=http://127.0.0.1:${VARVE_DYNAMODB_PORT:-4566}"
