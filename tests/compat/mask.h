// tests/compat/mask.h
//
// Mask replaces, in one server's answers, what two right servers may say differently by a name for
// what it stands for: its own ids and URLs, leases it numbered itself, sizes and raft positions,
// whole- backend hashes, tokens. A wrong id therefore stays visible: only the server's own becomes
// its name.
//
// Threads: one caller at a time; one Mask per server.

#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace keelson::compat {

class Mask {
 public:
  // What this server's answers call it.
  void learn_server(uint64_t cluster, uint64_t member, const std::string& client_url,
                    const std::string& peer_url);
  // A lease whose id the server chose; the n-th such lease of both servers is the same lease.
  void learn_lease(int64_t id);

  void apply(google::protobuf::Message* message) const;
  std::string apply(std::string text) const;

 private:
  struct Field;
  void apply_field(google::protobuf::Message* message,
                   const google::protobuf::FieldDescriptor* field) const;
  uint64_t masked(uint64_t id) const;
  int64_t masked(int64_t id) const;

  uint64_t cluster_ = 0;
  uint64_t member_ = 0;
  std::map<int64_t, int64_t> leases_;
  std::vector<std::pair<std::string, std::string>> texts_;
};

}  // namespace keelson::compat
