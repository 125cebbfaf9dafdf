package api

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
)

const (
	maxDetailRunes = 200
	maxErrorBytes  = 16 << 10 // of an error's body that are looked at
	minSecretBytes = 4        // shorter header values are not looked for in texts
)

// detail is the message in the JSON body of an error, or nothing. FastAPI answers {"detail": "text"}, or
// {"detail": [{"loc": [...], "msg": "text", "type": "..."}]} for a request it could not validate; others say error or message.
func detail(resp *http.Response) string {
	if !isJSON(resp.Header.Get("Content-Type")) {
		return ""
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes)) // what was read is all we look at
	var found, message, failure string
	limits := Limits{Bytes: maxErrorBytes, Items: 1000, Depth: 16, StringBytes: maxErrorBytes}
	_ = Decode(bytes.NewReader(body), limits, func(d *Decoder) error { // a broken body has what was found before the break
		return d.Object(func(key string) (err error) {
			switch key {
			case "detail":
				found, err = messageOf(d, 0)
			case "message":
				message, err = messageOf(d, 0)
			case "error":
				failure, err = messageOf(d, 0)
			}
			return err
		})
	})
	return clean(redact(cmp.Or(found, message, failure), resp.Request), maxDetailRunes)
}

// messageOf reads the next value as a message: a text, a list of them, or an object that has one.
func messageOf(d *Decoder, depth int) (string, error) {
	switch kind := d.Kind(); {
	case kind == Array && depth < 2:
		var all []string
		err := d.Array(func(i int) error {
			text, err := messageOf(d, depth+1)
			if text != "" && i < 10 {
				all = append(all, text)
			}
			return err
		})
		return strings.Join(all, "; "), err
	case kind == Object && depth < 3:
		return objectMessage(d, depth)
	case kind == String:
		v, err := d.Value()
		text, _ := v.Text()
		return text, err
	}
	return "", d.Skip()
}

// objectMessage reads {"loc": ["body", "limit"], "msg": "too large"} as "body.limit: too large".
func objectMessage(d *Decoder, depth int) (string, error) {
	var where []string
	var text string
	err := d.Object(func(key string) error {
		switch key {
		case "loc":
			if d.Kind() != Array {
				return nil
			}
			return d.Array(func(int) error {
				v, err := d.Value()
				part, ok := v.Text()
				if !ok {
					part = string(v.Raw)
				}
				where = append(where, part)
				return err
			})
		case "msg", "message", "detail":
			found, err := messageOf(d, depth+1)
			text = cmp.Or(text, found)
			return err
		}
		return nil
	})
	if len(where) > 0 && text != "" {
		text = strings.Join(where, ".") + ": " + text
	}
	return text, err
}

// redact takes out of a text whatever the request carried in its headers, for services that quote the key they refuse.
func redact(text string, r *http.Request) string {
	if r == nil || text == "" {
		return text
	}
	for name, values := range r.Header {
		switch name {
		case "Accept", "Accept-Encoding", "Content-Type", "User-Agent":
			continue
		}
		for _, v := range values {
			text = redactValue(text, v)
		}
	}
	return text
}

func redactValue(text, value string) string {
	secrets := []string{value}
	if scheme, key, ok := strings.Cut(value, " "); ok {
		secrets = append(secrets, key)
		if strings.EqualFold(scheme, "Basic") {
			plain, _ := base64.StdEncoding.DecodeString(key)
			_, password, _ := strings.Cut(string(plain), ":")
			secrets = append(secrets, string(plain), password)
		}
	}
	for _, s := range secrets {
		if len(s) >= minSecretBytes {
			text = strings.ReplaceAll(text, s, "<secret>")
		}
	}
	return text
}
