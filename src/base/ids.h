// base/ids.h
//
// Strong integer types: a Term is not an Index is not a MemberId. Each prints, hashes, orders and
// converts explicitly; arithmetic exists only where it means something (Index).

#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ostream>

namespace keelson {

template <typename Tag, typename Rep>
struct StrongId {
  Rep value = 0;

  constexpr StrongId() = default;
  constexpr explicit StrongId(Rep v) : value(v) {}

  friend constexpr auto operator<=>(StrongId, StrongId) = default;
  friend std::ostream& operator<<(std::ostream& out, StrongId id) { return out << id.value; }

  template <typename H>
  friend H AbslHashValue(H h, StrongId id) {
    return H::combine(std::move(h), id.value);
  }
};

// A position in the raft log; the first entry is 1, 0 means "none".
struct Index : StrongId<struct IndexTag, uint64_t> {
  using StrongId::StrongId;
  friend constexpr Index operator+(Index i, uint64_t n) { return Index(i.value + n); }
  friend constexpr Index operator-(Index i, uint64_t n) { return Index(i.value - n); }
  friend constexpr uint64_t operator-(Index a, Index b) { return a.value - b.value; }
  Index& operator++() { return ++value, *this; }
};

// A raft term; 0 means "none" or, in a message, "local".
using Term = StrongId<struct TermTag, uint64_t>;
// A member of the cluster; 0 means "nobody".
using MemberId = StrongId<struct MemberIdTag, uint64_t>;
using ClusterId = StrongId<struct ClusterIdTag, uint64_t>;
// A lease as clients name it; 0 means "no lease".
using LeaseId = StrongId<struct LeaseIdTag, int64_t>;

// One change in the store's history: `main` numbers the transaction, `sub` the change inside it.
struct Revision {
  int64_t main = 0;
  int64_t sub = 0;
  friend constexpr auto operator<=>(const Revision&, const Revision&) = default;
};

}  // namespace keelson

template <typename Tag, typename Rep>
struct std::hash<keelson::StrongId<Tag, Rep>> {
  size_t operator()(keelson::StrongId<Tag, Rep> id) const { return std::hash<Rep>()(id.value); }
};
template <>
struct std::hash<keelson::Index> {
  size_t operator()(keelson::Index id) const { return std::hash<uint64_t>()(id.value); }
};
