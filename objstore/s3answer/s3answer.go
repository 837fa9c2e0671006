// Package s3answer says what the answers of S3, and of stores that speak its protocol, mean in the words of objstore, and how long they
// are waited for. Both drivers ask it, so that an answer means the same whichever library heard it.
package s3answer

import (
	"fmt"
	"net/http"

	"github.com/varvelog/varve/objstore"
)

// Codes that drivers look for themselves.
const (
	NoSuchKey    = "NoSuchKey"
	NoSuchBucket = "NoSuchBucket"
)

// existsAsFolder is what versitygw 1.8.0 answers with 409 to one of two PUTs that make the same folder of its disk at once.
const existsAsFolder = "ExistingObjectIsDirectory"

// Answer is what a store said instead of doing what it was asked.
type Answer struct {
	Code, Message string // empty if the body held none
	Status        int    // HTTP status; 0 if there was no answer
	Region        string // of the bucket, if the store named it
}

// String returns code, message and status, as far as they are known.
func (a Answer) String() string {
	if a.Code == "" {
		return fmt.Sprintf("HTTP %d", a.Status)
	}
	return fmt.Sprintf("%s: %s (HTTP %d)", a.Code, a.Message, a.Status)
}

// Classify says what an answer means. Codes come first, since stores differ in the status they send with them.
func (p Place) Classify(a Answer, op string) error {
	refused := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", objstore.ErrRefused, fmt.Sprintf(format, args...))
	}
	switch code := a.Code; {
	case code == NoSuchBucket || a.Status == http.StatusNotFound && op == "check":
		return refused("bucket %q does not exist at %s; to make it: %s", p.Bucket, p.Endpoint, p.MakeBucket)
	case code == NoSuchKey && (op == "get" || op == "delete"):
		return objstore.ErrNotFound
	case code == "InvalidRange" || a.Status == http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%w: %s", objstore.ErrRange, a)
	case op == "put" && code == existsAsFolder:
		// Nothing was stored, and the same PUT succeeds once the other one is done.
		return fmt.Errorf("%w: %s", objstore.ErrThrottled, a)
	case throttles[code] || a.Status == http.StatusTooManyRequests:
		return fmt.Errorf("%w: %s", objstore.ErrThrottled, a)
	case damages[code]:
		return fmt.Errorf("%w: %s", objstore.ErrCorrupt, a)
	case code == "RequestTimeTooSkewed":
		return refused("the clock of this machine or of %s is wrong: %s", p.Endpoint, a)
	case code == "IncompleteBody" || code == "RequestTimeout" || a.Status == http.StatusRequestTimeout:
		return fmt.Errorf("%w: %s", objstore.ErrUnknown, a)
	case a.Status == http.StatusMovedPermanently || a.Status == http.StatusTemporaryRedirect || a.Status == http.StatusPermanentRedirect ||
		code == "AuthorizationHeaderMalformed" || code == "PermanentRedirect":
		return refused("bucket %q is not served by %s but by region %q; set region= and endpoint= to match: %s", p.Bucket, p.Endpoint, a.Region, a)
	case a.Status == http.StatusForbidden || a.Status == http.StatusUnauthorized || code == "AccessDenied" ||
		code == "ExpiredToken" || code == "InvalidToken":
		return refused("%s does not let these credentials use bucket %q: %s; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the role, and its policy",
			p.Endpoint, p.Bucket, a)
	case a.Status == http.StatusInsufficientStorage || code == "QuotaExceeded" || code == "XMinioStorageFull":
		return refused("%s is full: %s", p.Endpoint, a)
	case a.Status == http.StatusConflict || a.Status == http.StatusPreconditionFailed:
		// We send no conditions: a policy on the bucket, or an odd store.
		return refused("bucket %q at %s asks for conditions that Varve does not send: %s", p.Bucket, p.Endpoint, a)
	case a.Status >= 400 && a.Status < 500:
		return refused("bucket %q at %s: %s", p.Bucket, p.Endpoint, a)
	}
	return fmt.Errorf("%w: %s", objstore.ErrUnknown, a)
}

// throttles are the codes of a store that did nothing and asks to slow down. A bare 503 is not enough: it may come from a
// proxy that lost an answer on its way.
var throttles = map[string]bool{
	"SlowDown": true, "SlowDownRead": true, "SlowDownWrite": true, // the last two are MinIO's
	"ServiceUnavailable": true, "Throttling": true, "ThrottlingException": true, "ThrottledException": true,
	"RequestThrottled": true, "RequestLimitExceeded": true, "TooManyRequests": true, "TooManyRequestsException": true,
	"BandwidthLimitExceeded": true,
}

// damages are the codes of a store that found a checksum wrong.
var damages = map[string]bool{
	"BadDigest": true, "InvalidDigest": true, "XAmzContentSHA256Mismatch": true,
	"XAmzContentChecksumMismatch": true, // MinIO's
}
