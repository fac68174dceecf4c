#include "tests/stats/requests.h"

#include "base/text.h"
#include "proto/rpc.pb.h"

namespace keelson::stats {
namespace {

namespace pb = etcdserverpb;

class Maker {
 public:
  explicit Maker(Random& random) : random_(random) {}

  Request next() {
    switch (random_.below(4)) {
      case 0:
        return {"/etcdserverpb.KV/Range", range().SerializeAsString()};
      case 1:
        return {"/etcdserverpb.KV/Put", put().SerializeAsString()};
      case 2:
        return {"/etcdserverpb.KV/DeleteRange", removal().SerializeAsString()};
      default:
        return {"/etcdserverpb.KV/Txn", txn(0).SerializeAsString()};
    }
  }

 private:
  bool one_in(uint64_t n) { return random_.below(n) == 0; }
  int64_t number() { return static_cast<int64_t>(random_.below(uint64_t{1} << random_.below(40))); }

  // Mostly one of a few, so that they are found again; sometimes any bytes, or none.
  std::string key() {
    if (!one_in(6)) return cat("key/", random_.below(8));
    std::string out(random_.below(6), '\0');
    for (char& c : out) c = static_cast<char>(random_.below(256));
    return out;
  }
  std::string value() { return cat(kSecret, std::string(random_.below(40), 'v')); }

  pb::RangeRequest range() {
    pb::RangeRequest out;
    out.set_key(key());
    if (one_in(2)) out.set_range_end(key());
    if (one_in(3)) out.set_limit(static_cast<int64_t>(random_.below(4)));
    if (one_in(5)) out.set_revision(static_cast<int64_t>(random_.below(30)));
    if (one_in(3)) out.set_sort_order(static_cast<pb::RangeRequest::SortOrder>(random_.below(3)));
    if (one_in(3)) out.set_sort_target(static_cast<pb::RangeRequest::SortTarget>(random_.below(5)));
    out.set_serializable(one_in(2));
    out.set_keys_only(one_in(4));
    out.set_count_only(one_in(4));
    if (one_in(4)) out.set_min_mod_revision(number());
    if (one_in(4)) out.set_max_mod_revision(number());
    if (one_in(4)) out.set_min_create_revision(number());
    if (one_in(4)) out.set_max_create_revision(number());
    return out;
  }

  pb::PutRequest put() {
    pb::PutRequest out;
    out.set_key(key());
    if (!one_in(8)) out.set_value(value());
    if (one_in(8)) out.set_lease(number());
    out.set_prev_kv(one_in(3));
    if (one_in(8)) {
      out.set_ignore_value(true);
      if (one_in(2)) out.clear_value();
    }
    out.set_ignore_lease(one_in(8));
    return out;
  }

  pb::DeleteRangeRequest removal() {
    pb::DeleteRangeRequest out;
    out.set_key(key());
    if (one_in(3)) out.set_range_end(key());
    out.set_prev_kv(one_in(2));
    return out;
  }

  pb::Compare compare() {
    pb::Compare out;
    out.set_key(key());
    out.set_result(static_cast<pb::Compare::CompareResult>(random_.below(4)));
    out.set_target(static_cast<pb::Compare::CompareTarget>(random_.below(5)));
    switch (out.target()) {
      case pb::Compare::VERSION:
        out.set_version(number() % 3);
        break;
      case pb::Compare::CREATE:
        out.set_create_revision(number());
        break;
      case pb::Compare::MOD:
        out.set_mod_revision(number());
        break;
      case pb::Compare::VALUE:
        out.set_value(value());
        break;
      default:
        out.set_lease(number());
        break;
    }
    if (one_in(6)) out.set_range_end(key());
    return out;
  }

  void add_op(pb::RequestOp* op, int depth) {
    switch (random_.below(depth < 2 ? 5 : 3)) {
      case 0:
        *op->mutable_request_range() = range();
        break;
      case 1:
        *op->mutable_request_put() = put();
        break;
      case 2:
        *op->mutable_request_delete_range() = removal();
        break;
      default:
        *op->mutable_request_txn() = txn(depth + 1);
        break;
    }
  }

  pb::TxnRequest txn(int depth) {
    pb::TxnRequest out;
    for (uint64_t i = random_.below(3); i > 0; --i) *out.add_compare() = compare();
    for (uint64_t i = random_.below(3); i > 0; --i) add_op(out.add_success(), depth);
    for (uint64_t i = random_.below(3); i > 0; --i) add_op(out.add_failure(), depth);
    return out;
  }

  Random& random_;
};

}  // namespace

std::vector<Request> random_requests(Random& random, int count) {
  Maker maker(random);
  std::vector<Request> out;
  for (int i = 0; i < count; ++i) out.push_back(maker.next());
  return out;
}

}  // namespace keelson::stats
