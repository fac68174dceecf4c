#include "raft/read_only.h"

#include <algorithm>

#include "base/endian.h"

namespace keelson::raft {

void ReadOnly::add(ReadRequest request, Index committed) {
  pending_.push_back({std::move(request), committed});
}

std::optional<uint64_t> ReadOnly::newest() const {
  if (pending_.empty()) return std::nullopt;
  return confirmed_ + pending_.size();
}

void ReadOnly::acknowledge(MemberId from, uint64_t number) {
  for (auto& [id, highest] : acks_) {
    if (id == from) {
      highest = std::max(highest, number);
      return;
    }
  }
  acks_.emplace_back(from, number);
}

std::vector<ReadOnly::Pending> ReadOnly::confirm(const quorum::Joint& voters) {
  // The numbers are positions in a log of requests: the quorum rule is the one for entries.
  const Index reached =
      quorum::committed_index(voters, [this](MemberId id) -> std::optional<Index> {
        for (const auto& [member, number] : acks_) {
          if (member == id) return Index(number);
        }
        return std::nullopt;
      });
  std::vector<Pending> confirmed;
  // A peer cannot confirm what was not asked.
  while (!pending_.empty() && confirmed_ < reached.value) {
    confirmed.push_back(std::move(pending_.front()));
    pending_.pop_front();
    ++confirmed_;
  }
  return confirmed;
}

Bytes encode_read_number(uint64_t number) {
  return Bytes::build(sizeof(number), [number](char* out) { store_little64(out, number); });
}

std::optional<uint64_t> decode_read_number(const Bytes& context) {
  if (context.size() < sizeof(uint64_t)) return std::nullopt;
  return load_little64(context.data());
}

}  // namespace keelson::raft
