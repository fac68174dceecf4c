// auth/base64.h
//
// Base 64 as Go's encoding/base64 has it: the standard alphabet with padding (hashed passwords in
// entries of the log), and that for URLs without (the parts of a JWT). Strict about letters and
// padding; line ends are passed over, and the last letter's spare bits are not looked at, as there.
//
// Threads: pure functions.

#pragma once

#include <string>
#include <string_view>

namespace keelson::auth {

std::string encode_base64(std::string_view bytes);
std::string encode_base64_url(std::string_view bytes);
// False: it is not such a text, and `out` is of no use.
bool decode_base64(std::string_view text, std::string* out);
bool decode_base64_url(std::string_view text, std::string* out);

}  // namespace keelson::auth
