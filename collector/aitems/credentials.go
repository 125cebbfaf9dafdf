package aitems

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/prometheus/common/config"

	"github.com/trainbridge/trainbridge/collector/api"
)

// credential is a key, and the field of the configuration that it comes from.
type credential struct {
	field string
	path  string // of its file, if it has one
	from  config.SecretReader
}

// credentials are the access key and the secret key.
func (c *Config) credentials() (access, secret credential, err error) {
	access, err = newCredential("access_key", c.AccessKey, c.file(c.AccessKeyFile), c.AccessKeyEnv)
	if err != nil {
		return access, secret, err
	}
	secret, err = newCredential("secret_key", string(c.SecretKey), c.file(c.SecretKeyFile), c.SecretKeyEnv)
	return access, secret, err
}

func newCredential(field, text, file, variable string) (credential, error) {
	switch {
	case file != "":
		return credential{field: field + "_file", path: file, from: config.NewFileSecret(file)}, nil
	case variable != "":
		text = strings.TrimSpace(os.Getenv(variable))
		if text == "" {
			return credential{}, fmt.Errorf("%s_env: the environment variable %s is empty or not set", field, variable)
		}
		field += "_env"
	}
	return credential{field: field, from: config.NewInlineSecret(strings.TrimSpace(text))}, nil
}

// read is the key as it is now: a file may have been replaced.
func (c credential) read(ctx context.Context) (string, error) {
	key, err := c.from.Fetch(ctx)
	if err != nil {
		return "", &api.Error{Class: "auth", Detail: c.field + ": " + err.Error()}
	}
	if err := checkKey(key); err != nil {
		return "", &api.Error{Class: "auth", Detail: strings.TrimSpace(c.field+": "+c.path) + " " + err.Error()}
	}
	return key, nil
}

// checkKey says why a text cannot be a key, without saying what it is.
func checkKey(key string) error {
	if key == "" {
		return errors.New("is empty")
	}
	for _, r := range key {
		if r <= ' ' || r > '~' {
			return errors.New("holds characters that no key has, such as a space or a line break")
		}
	}
	return nil
}

// place is where a person finds the key.
func (c credential) place() string {
	if c.path != "" {
		return c.path + " (" + c.field + ")"
	}
	return c.field
}
