// base/origin.h
//
// Who a request comes from, as far as fairness is concerned: a client, and which of its
// connections. Two numbers that are the same for the same client, and hardly ever for another; what
// a client is, is decided where connections are (net/client_number.h).

#pragma once

#include <cstdint>

namespace keelson {

struct Origin {
  uint64_t client = 0;      // 0: the member itself, which has no share and needs none
  uint64_t connection = 0;  // of the client

  bool is_own() const { return client == 0; }
  friend bool operator==(const Origin&, const Origin&) = default;
};

}  // namespace keelson
