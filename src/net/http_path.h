// net/http_path.h
//
// What the path of a request means, and by what it is looked for. A path has two forms: as it is
// written, with escapes, and as it is meant. Which handler a path leads to is decided by the
// written form, part by part, so that an escaped slash is no slash; handlers go by what is meant.
//
// Threads: pure functions.
// Source: Go 1.26, net/url (unescape, EscapedPath) and net/http (cleanPath, ServeMux), behind etcd
//   v3.7.1.

#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace keelson::net {

// What `path` means: "/v3/kv/%70ut" is "/v3/kv/put". Nothing when a % is no escape's beginning.
std::optional<std::string> meant_path(std::string_view path);

// A path that means `meant`, in characters that paths are written with: `written`, if that is one.
std::string written_path(std::string_view written, std::string_view meant);
std::string written_path(std::string_view meant);

// Without empty parts and with "." and ".." taken as said; a slash at the end stays.
std::string clean_path(std::string_view path);

// The parts of a clean written path, each as it is meant, with slashes between them; a slash within
// one is a zero byte, which is in no path that anybody registers.
std::string path_key(std::string_view written);

// Whether nothing of the above makes another path of it.
bool is_plain_path(std::string_view path);

}  // namespace keelson::net
