package api

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"strings"

	"golang.org/x/oauth2"
)

// transportError makes an error of a request that got no answer, or half of one. Only texts that are known to hold nothing
// of the request's headers or the answer's body are taken over: a token service's refusal, for one, quotes its whole body.
func transportError(ctx context.Context, err error, setting string) *Error {
	if ctx.Err() != nil {
		return contextError(ctx, "the service had not answered")
	}
	var (
		dns       *net.DNSError
		op        *net.OpError
		path      *fs.PathError
		token     *oauth2.RetrieveError
		timeout   net.Error
		corrupt   flate.CorruptInputError
		tlsDetail = tlsText(err)
	)
	switch {
	case errors.As(err, &token):
		return &Error{Class: classAuth, Detail: "the token service refused; " + setting}
	case errors.As(err, &path):
		return &Error{Class: classAuth, Detail: "cannot read " + path.Path + ": " + path.Err.Error(), Err: path}
	case errors.As(err, &dns):
		return &Error{Class: classDNS, Detail: "cannot find the host " + clean(dns.Name, 100) + ": " + dns.Err, Err: dns, retry: later}
	case errors.Is(err, errAddress):
		return &Error{Class: classConnect, Detail: "the host has an address that is never connected to (link-local, unspecified or multicast): " + addressOf(err), Err: errAddress}
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return &Error{Class: classTimeout, Detail: "no full answer in time", retry: later}
	case tlsDetail != "":
		return &Error{Class: classTLS, Detail: tlsDetail + "; check tls_config"}
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.As(err, &corrupt):
		return &Error{Class: classDecode, Detail: "the answer's compression is broken"}
	case errors.As(err, &op):
		return &Error{Class: classConnect, Detail: op.Error(), Err: op, retry: later}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Class: classConnect, Detail: "the connection was closed before the answer was complete", Err: io.ErrUnexpectedEOF, retry: later}
	}
	return unnamed(err.Error(), setting)
}

// unnamed tells apart the failures of net/http that have no type, by the words that Go has used for them since 1.8.
func unnamed(text, setting string) *Error {
	switch {
	case strings.Contains(text, "headers exceeded"):
		return &Error{Class: classTooLarge, Detail: "the answer's headers are larger than 64 KiB"}
	case strings.Contains(text, "invalid header field"):
		return &Error{Class: classAuth, Detail: "the credential holds characters that a header cannot carry; " + setting}
	case strings.Contains(text, "oauth2"):
		return &Error{Class: classAuth, Detail: "no token from the token service; " + setting}
	case strings.Contains(text, "malformed HTTP"), strings.Contains(text, "transport connection broken"):
		return &Error{Class: classConnect, Detail: "the host does not answer in HTTP; check scheme and port of base_url", retry: later}
	}
	return &Error{Class: classConnect, Detail: "the connection failed", retry: later}
}

// tlsText describes a failed handshake or certificate, or is empty.
func tlsText(err error) string {
	var (
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	var op *net.OpError
	switch {
	case errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"): // an alert of the handshake
		return clean(op.Error(), maxDetailRunes)
	case errors.As(err, &record):
		return "the host does not speak TLS on this port"
	case errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &verify):
		return clean("the certificate is not accepted: "+lastOf(err).Error(), maxDetailRunes)
	}
	return ""
}

// lastOf is the innermost error.
func lastOf(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}

// addressOf is the message of the innermost wrap of errAddress, which names the address.
func addressOf(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil || next == errAddress { //nolint:errorlint // the wrap around this very value is wanted
			return err.Error()
		}
		err = next
	}
}
