// tests/stats/requests.h
//
// Random requests of the KV service, in which every value has a mark that must show up nowhere.

#pragma once

#include <string>
#include <vector>

#include "base/random.h"

namespace keelson::stats {

inline constexpr char kSecret[] = "SECRET";

struct Request {
  std::string path;  // "/etcdserverpb.KV/Put"
  std::string body;
};

std::vector<Request> random_requests(Random& random, int count);

}  // namespace keelson::stats
