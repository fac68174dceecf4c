// net/decoded_fields.h
//
// The lines about header fields that Go's HTTP/2 writes under GODEBUG=http2debug=2, and that tests
// of etcd's kind wait for (`:authority` of a request). Plain, on standard error, as Go's package
// log has them; nothing of the kind is written unless it is asked for.
//
// Values of fields that carry a token, a password or a cookie are left out: Go prints them.
// Bounds: a line has at most some 2 KB; how many there are is the clients' choice, as in Go.
// Threads: any; a line is one write.
// Source: golang.org/x/net/http2 (frame.go, "decoded hpack field") and hpack (HeaderField.String).

#pragma once

#include <ctime>
#include <string>
#include <string_view>

namespace keelson::net {

// Whether the environment asked for it, at the first call.
bool prints_decoded_fields();
void print_decoded_field(std::string_view name, std::string_view value, bool sensitive);

// The line, in the process's time zone, with its end.
std::string decoded_field_line(std::time_t now, std::string_view name, std::string_view value,
                               bool sensitive);

}  // namespace keelson::net
