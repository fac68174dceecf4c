// proxy/guarded_form.h
//
// GuardedForm is a client's write in the form in which leasing has it made: a transaction that
// takes place only if no leasing key stands beside what it writes but our own, and that otherwise
// says which do. It may be tried with several bounds.
//
// What it writes is told by spans: keys and ranges, in order, each key in one of them at most, so
// that whoever walks them sees nothing twice. Those of the client, and the keys whose leasing keys
// it writes: who overwrites them must have them first.
// A server takes a limited number of operations, those of transactions inside added up; where the
// client's leave no room for a condition for each span, neighbours are taken for one range.
//
// Threads: a value.

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/parts.h"
#include "proto/rpc.pb.h"
#include "proxy/leasing_keys.h"
#include "proxy/range_cache.h"

namespace keelson::proxy {

// Of a transaction, those inside and what is not done included. Servers bound how many there are
// along each way inside; a tree of them can still have very many. Far more than 128, as a cluster
// may have been told to take more.
inline constexpr size_t kMostTxnOperations = 8192;

// Before anything is done for it. Errors: TooManyOps.
absl::Status check_size(const etcdserverpb::TxnRequest& request, size_t most = kMostTxnOperations);

class GuardedForm {
 public:
  // Of leasing keys in a range, how many a refusal names.
  static constexpr int kMostNamed = 1000;

  GuardedForm(const LeasingKeys& keys, etcdserverpb::PutRequest request);
  GuardedForm(const LeasingKeys& keys, etcdserverpb::DeleteRangeRequest request);
  GuardedForm(const LeasingKeys& keys, etcdserverpb::TxnRequest request);

  // None: it only reads, and is made as it is.
  const std::vector<KeySpan>& spans() const { return spans_; }
  // Those of them whose leasing keys it writes.
  const std::vector<KeySpan>& overwritten() const { return overwritten_; }
  // For how many keys it can say what stands there then.
  size_t most_values() const;

  // `up_to` says of spans()[i] when our leasing keys there were created, at most; 0: there is none.
  etcdserverpb::TxnRequest request(const LeasingKeys& keys, const std::vector<int64_t>& up_to,
                                   const std::vector<std::string>& values) const;

  // What came of it. A refusal is one of a form with spans that did not succeed.
  bool refused(const etcdserverpb::TxnResponse& response) const;
  // Of one that was not refused. Errors: Internal for what is no answer to it.
  absl::StatusOr<Parts> answer(etcdserverpb::TxnResponse response) const;
  // REQUIRES: answer() was ok, `values` as in request().
  using Value = std::pair<std::string, std::optional<mvccpb::KeyValue>>;
  std::vector<Value> values_in(const etcdserverpb::TxnResponse& response,
                               const std::vector<std::string>& values) const;

 private:
  enum class Kind { kPut, kDelete, kFlat, kNested };

  void find_spans(const LeasingKeys& keys);
  void add_overwritten(const LeasingKeys& keys);
  void merge_spans(size_t most);
  size_t own_operations() const;

  Kind kind_;
  // The client's; of kPut and kDelete one with that operation.
  etcdserverpb::TxnRequest txn_;
  size_t room_;  // operations that the outer transaction may have, > 0
  std::vector<KeySpan> spans_, overwritten_;
};

}  // namespace keelson::proxy
