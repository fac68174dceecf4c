// membership/v2_request.h
//
// A request in etcd's first form, which its second API had. Members up to 3.5 publish their
// attributes and the cluster's version in it; of everything else that it can ask for, keys above
// all, nothing is kept here, nor in etcd since 3.6.
//
// Threads: pure functions. Lifetime: views into the bytes that were read.
// Source: etcd v3.5.21, server/etcdserver/apply_v2.go; v3.6.5, the same (v2ToV3Request).

#pragma once

#include <optional>
#include <string_view>

#include "base/ids.h"

namespace keelson::membership {

struct V2Request {
  enum class About { kAttributes, kVersion, kElse };

  About about = About::kElse;
  MemberId member;  // whose attributes
  std::string_view method, path, value;
};

// nullopt: it is none. As gogo's code reads it, which let it into the log.
std::optional<V2Request> read_v2_request(std::string_view bytes);

}  // namespace keelson::membership
