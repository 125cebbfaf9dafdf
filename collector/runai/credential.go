package runai

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/trainbridge/trainbridge/collector/api"
)

// TokenConfig is a service account or an access key of Run:ai. Its id and secret are exchanged for tokens.
type TokenConfig struct {
	// Version is the endpoint that gives tokens: v2, which version 2.24 brought, or v1. Empty asks v2, and v1 where there is no v2.
	Version string `yaml:"version"`
	// ClientID is the id of the service account or access key.
	ClientID string `yaml:"client_id"`
	// AppID is that of an application, the older kind of account, in place of ClientID. Only v1 knows them.
	AppID string `yaml:"app_id"`

	// The secret stands here, in a file that is read again for every token and after a 401, or in an environment variable.
	ClientSecret     config.Secret `yaml:"client_secret"`
	ClientSecretFile string        `yaml:"client_secret_file"`
	ClientSecretEnv  string        `yaml:"client_secret_env"`

	// DefaultLifetime is how long a token is used that does not say when it ends; default 5m.
	DefaultLifetime model.Duration `yaml:"default_lifetime"`
}

// The endpoints that give tokens.
const (
	tokenV1 = "v1"
	tokenV2 = "v2"
)

func (c TokenConfig) withDefaults(dir string) TokenConfig {
	c.DefaultLifetime = cmp.Or(c.DefaultLifetime, model.Duration(5*time.Minute))
	if c.ClientSecretFile != "" && !filepath.IsAbs(c.ClientSecretFile) {
		c.ClientSecretFile = filepath.Join(dir, c.ClientSecretFile)
	}
	if c.AppID != "" {
		c.Version = cmp.Or(c.Version, tokenV1)
	}
	return c
}

// used reports whether the operator set anything that is a credential.
func (c *TokenConfig) used() bool {
	return c.ClientID != "" || c.AppID != "" || c.ClientSecret != "" || c.ClientSecretFile != "" || c.ClientSecretEnv != ""
}

func (c *TokenConfig) check(h *api.Config) error {
	switch {
	case c.Version != "" && c.Version != tokenV1 && c.Version != tokenV2:
		return fmt.Errorf("token.version: must be %s or %s, is %q", tokenV2, tokenV1, c.Version)
	case time.Duration(c.DefaultLifetime) < 10*time.Second:
		return fmt.Errorf("token.default_lifetime: must be at least 10s, is %s", c.DefaultLifetime)
	case !c.used():
		return nil
	case hasCredential(h):
		return errors.New("token: set either this or one of authorization, basic_auth, oauth2 and credentials_env")
	case c.ClientID == "" && c.AppID == "":
		return errors.New("token.client_id: required with a secret")
	case c.ClientID != "" && c.AppID != "":
		return errors.New("token.app_id: set either this or client_id")
	case c.AppID != "" && c.Version == tokenV2:
		return errors.New("token.app_id: only version v1 knows applications")
	}
	secrets := 0
	for _, s := range []string{string(c.ClientSecret), c.ClientSecretFile, c.ClientSecretEnv} {
		if s != "" {
			secrets++
		}
	}
	if secrets != 1 {
		return errors.New("token.client_secret: set one of client_secret, client_secret_file and client_secret_env")
	}
	return nil
}

// hasCredential reports whether the operator set a ready credential.
func hasCredential(c *api.Config) bool {
	h := &c.HTTP
	return c.CredentialsEnv != "" || h.Authorization != nil || h.BasicAuth != nil || h.OAuth2 != nil || h.BearerToken != "" ||
		h.BearerTokenFile != ""
}

// account is a credential as it is sent.
type account struct {
	id     string
	app    bool
	secret func() (string, error)
	field  string // where the secret stands, for messages
}

func (c *TokenConfig) account() account {
	a := account{id: cmp.Or(c.ClientID, c.AppID), app: c.AppID != ""}
	switch {
	case c.ClientSecretFile != "":
		path := c.ClientSecretFile
		a.field = fmt.Sprintf("the content of %s (token.client_secret_file)", path)
		a.secret = func() (string, error) { return secretOf(path) }
	case c.ClientSecretEnv != "":
		name := c.ClientSecretEnv
		a.field = fmt.Sprintf("the environment variable %s (token.client_secret_env)", name)
		a.secret = func() (string, error) {
			s := strings.TrimSpace(os.Getenv(name))
			if s == "" {
				return "", fmt.Errorf("token.client_secret_env: the environment variable %s is empty or not set", name)
			}
			return s, nil
		}
	default:
		secret := string(c.ClientSecret)
		a.field = "token.client_secret"
		a.secret = func() (string, error) { return secret, nil }
	}
	return a
}

// maxSecretBytes is the largest file that is taken for a secret.
const maxSecretBytes = 64 << 10

// secretOf reads a secret, without saying what is in the file.
func secretOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("token.client_secret_file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretBytes))
	if err != nil {
		return "", fmt.Errorf("token.client_secret_file: %w", err)
	}
	s := strings.TrimSpace(string(b))
	if s == "" {
		return "", fmt.Errorf("token.client_secret_file: %s is empty", path)
	}
	return s, nil
}

// setting is what to check when the account is refused.
func (a *account) setting() string {
	id := "token.client_id"
	if a.app {
		id = "token.app_id"
	}
	return "check " + id + " and " + a.field
}

// fingerprint tells one secret from the next. It stays in memory.
func (a *account) fingerprint() string {
	s, err := a.secret()
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %d %s %t", len(a.id), a.id, len(s), s, err != nil))
	return string(sum[:])
}
