package servers

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// compose is as much of compose.yaml as the test looks at.
type compose struct {
	Services map[string]struct {
		Image       string
		Build       map[string]string `yaml:"build"`
		Profiles    []string
		Ports       []string
		Environment map[string]string
		Command     []string
		Healthcheck struct{ Test []string }
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	}
}

// TestCompose reads compose.yaml, which no test runs: what is pinned is what local.sh installs, nothing listens beyond
// loopback, and each step waits for the one before.
func TestCompose(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile("../" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var c compose
	if err := yaml.Unmarshal([]byte(read("compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	pinned := func(name string) string {
		found := regexp.MustCompile(`readonly ` + name + `=(\S+)`).FindStringSubmatch(read("local.sh"))
		if found == nil {
			t.Fatalf("local.sh has no %s", name)
		}
		return found[1]
	}
	minio, localstack := c.Services["minio"], c.Services["localstack"]
	if file := minio.Build["dockerfile_inline"]; !strings.Contains(file, "@"+pinned("minio_version")) {
		t.Errorf("minio is built from another version than local.sh's:\n%s", file)
	}
	if localstack.Image != "localstack/localstack:"+pinned("localstack_version") {
		t.Errorf("image %q, want local.sh's version", localstack.Image)
	}
	if minio.Environment["MINIO_ROOT_USER"] != AccessKey || minio.Environment["MINIO_ROOT_PASSWORD"] != SecretKey {
		t.Errorf("credentials of MinIO: %v", minio.Environment)
	}
	for _, want := range []string{"AWS_ACCESS_KEY_ID=" + AccessKey, "AWS_SECRET_ACCESS_KEY=" + SecretKey, "AWS_REGION=" + Region} {
		if !strings.Contains(read("env.sh"), "export "+want+"\n") {
			t.Errorf("env.sh does not export %s", want)
		}
	}
	for name, s := range c.Services {
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: port %q is open beyond loopback", name, p)
			}
		}
		if _, tag, found := strings.Cut(s.Image, ":"); s.Image != "" && (!found || tag == "latest") {
			t.Errorf("%s: image %q is not pinned", name, s.Image)
		}
		for other, d := range s.DependsOn {
			if d.Condition == "service_healthy" && len(c.Services[other].Healthcheck.Test) == 0 {
				t.Errorf("%s waits for the health of %s, which has no check", name, other)
			}
		}
	}
	for _, server := range []string{"minio", "localstack"} {
		if c.Services["init"].DependsOn[server].Condition != "service_healthy" {
			t.Errorf("init does not wait for %s", server)
		}
	}
	if c.Services["ready"].DependsOn["init"].Condition != "service_completed_successfully" {
		t.Error("ready does not wait for init")
	}
	if !slices.Equal(c.Services["kafka-ui"].Profiles, []string{"console"}) {
		t.Error("kafka-ui is not in the profile console alone")
	}
}
