// Pure.

package records

import "fmt"

// MaxName is the most bytes of a cluster or agent name.
const MaxName = 64

// Cluster is the name of a cluster. It prefixes every partition key, so that clusters share a table without meeting.
// Check one with ParseCluster before the first use.
type Cluster string

// ParseCluster checks name. Error: ErrBadName.
func ParseCluster(name string) (Cluster, error) {
	if err := CheckName(name); err != nil {
		return "", fmt.Errorf("cluster name: %w", err)
	}
	return Cluster(name), nil
}

// CheckName returns ErrBadName unless name is [a-zA-Z0-9._-]{1,64} and neither "." nor ".." (cluster names are folders in
// the object store). Cluster and agent names obey it.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName || name == "." || name == ".." {
		return fmt.Errorf("%w %.80q: want 1 to %d of a-z A-Z 0-9 . _ -", ErrBadName, name, MaxName)
	}
	for i := range len(name) {
		c := name[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
		if !ok {
			return fmt.Errorf("%w %.80q: want 1 to %d of a-z A-Z 0-9 . _ -", ErrBadName, name, MaxName)
		}
	}
	return nil
}

func (c Cluster) pk(kind string) string { return string(c) + "/" + kind }
