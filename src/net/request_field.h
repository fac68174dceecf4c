// net/request_field.h
//
// What one field of an HTTP/2 request is: of those that the framework itself reads, or any other,
// or none that may be. What is refused is what Go's HTTP/2 server and grpc-go refuse, and no more:
// an `:authority` may be anything that is a field value, such as a Unix socket's path or the list
// of endpoints that etcd's clients send.
//
// Threads: any.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace keelson::net {

struct RequestField {
  // Those that the framework reads; they are not shown as metadata.
  enum Known : int8_t {
    kPath,
    kMethod,
    kAuthority,
    kScheme,
    kLastPseudo = kScheme,
    kHost,
    kContentType,
    kEncoding,
    kTimeout,
    kKnownCount
  };
  // Or, instead of a Known:
  static constexpr int8_t kOther = -1;
  static constexpr int8_t kWrong = -2;
  static constexpr int8_t kUnseen = -3;  // nobody has looked yet

  static int8_t sort(std::string_view name, std::string_view value) {
    const int8_t known = sort_of_name(name);
    return known != kWrong && is_value(value) ? known : kWrong;
  }
  // If the value is one that may be.
  static constexpr int8_t sort_of_name(std::string_view name) {
    switch (name.size()) {
      case 4:
        if (name == "host") return kHost;
        break;
      case 5:
        if (name == ":path") return kPath;
        break;
      case 7:
        if (name == ":method") return kMethod;
        if (name == ":scheme") return kScheme;
        break;
      case 10:
        if (name == ":authority") return kAuthority;
        // The one field of a connection's own that grpc-go refuses.
        if (name == "connection") return kWrong;
        break;
      case 12:
        if (name == "content-type") return kContentType;
        if (name == "grpc-timeout") return kTimeout;
        break;
      case 13:
        if (name == "grpc-encoding") return kEncoding;
        break;
      default:
        break;
    }
    return is_name(name) ? kOther : kWrong;
  }

 private:
  // Small letters and the rest of what a token may hold (RFC 9110, 5.6.2).
  static constexpr bool is_name(std::string_view name) {
    for (const char c : name) {
      if (!kInNames[static_cast<uint8_t>(c)]) return false;
    }
    return !name.empty();
  }
  static constexpr std::array<bool, 256> kInNames = [] {
    std::array<bool, 256> in{};
    for (const char c : std::string_view("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~")) {
      in[static_cast<uint8_t>(c)] = true;
    }
    return in;
  }();
  static bool is_value(std::string_view value);
};

}  // namespace keelson::net
