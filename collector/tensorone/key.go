package tensorone

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/common/config"

	"github.com/trainbridge/trainbridge/collector/api"
)

// bareKey puts a key on requests without the word Bearer. Prometheus' authorization cannot: an empty type is Bearer.
type bareKey struct {
	secret  config.SecretReader
	setting string
}

// bare takes the key out of a configuration and into a signer.
func bare(c api.Config) (api.Config, error) {
	k := &bareKey{setting: "check authorization.credentials"}
	switch a := c.HTTP.Authorization; {
	case c.CredentialsEnv != "":
		key := strings.TrimSpace(os.Getenv(c.CredentialsEnv))
		if key == "" {
			return c, fmt.Errorf("credentials_env: the environment variable %s is empty or not set", c.CredentialsEnv)
		}
		k.secret = config.NewInlineSecret(key)
		k.setting = "check the environment variable " + c.CredentialsEnv + " (credentials_env)"
	case a.CredentialsFile != "":
		k.secret = config.NewFileSecret(a.CredentialsFile)
		k.setting = fmt.Sprintf("check the content of %s (authorization.credentials_file)", a.CredentialsFile)
	default:
		k.secret = config.NewInlineSecret(string(a.Credentials))
	}
	c.HTTP.Authorization, c.CredentialsEnv, c.Signer = nil, "", k
	return c, nil
}

// Sign implements [api.Signer].
func (k *bareKey) Sign(ctx context.Context, r *http.Request) error {
	key, err := k.secret.Fetch(ctx)
	if err != nil {
		return err
	}
	if key = strings.TrimSpace(key); key == "" {
		return errors.New("the key is empty")
	}
	r.Header.Set("Authorization", key)
	return nil
}

// Refused implements [api.Signer]. The key is read again for every request.
func (k *bareKey) Refused(*http.Request) {}

// Fingerprint implements [api.Signer]. It is kept in memory only.
func (k *bareKey) Fingerprint() string {
	key, err := k.secret.Fetch(context.Background()) // a file or memory: it does not block
	sum := sha256.Sum256([]byte(key))
	return fmt.Sprintf("%x %t", sum, err != nil)
}

// Ends implements [api.Ender].
func (k *bareKey) Ends() time.Time {
	key, err := k.secret.Fetch(context.Background()) // a file or memory: it does not block
	if err != nil {
		return time.Time{}
	}
	return api.TokenExpiry(key)
}

// Setting implements [api.Signer].
func (k *bareKey) Setting() string { return k.setting }
