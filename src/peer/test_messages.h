// peer/test_messages.h
//
// Messages and pieces of bytes for tests of the peer protocol.

#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/random.h"
#include "raft/types.h"
#include "wire/raft_codec.h"

namespace keelson::peer {

inline raft::Entry test_entry(uint64_t term, uint64_t index, std::string_view data) {
  return {.type_set = true,
          .data_set = true,
          .term = Term(term),
          .index = Index(index),
          .data = Bytes::copy(data)};
}

// What two messages are compared by.
inline std::string text_of(const raft::Message& message) { return wire::encode(message).str(); }

// Everything that `decoder` makes of `bytes`, given in one piece or in random ones.
template <typename Decoder>
absl::StatusOr<std::vector<raft::Message>> decode_all(Decoder& decoder, std::string_view bytes,
                                                      Random* random = nullptr) {
  std::vector<raft::Message> messages;
  do {
    const size_t size = random ? random->below(random->below(9) == 0 ? 5000 : 9) : bytes.size();
    // A block of its own, so that a sanitizer sees every step outside.
    const std::string piece(bytes.substr(0, size));
    bytes.remove_prefix(piece.size());
    std::string_view rest = piece;
    for (bool more = true; more;) {
      absl::StatusOr<std::optional<raft::Message>> message = decoder.next(&rest);
      if (!message.ok()) return message.status();
      more = message->has_value();
      if (more) messages.push_back(**std::move(message));
    }
  } while (!bytes.empty());
  return messages;
}

}  // namespace keelson::peer
