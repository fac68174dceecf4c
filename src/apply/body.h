// apply/body.h
//
// Writes response messages around key-values that are already encoded. Small pieces are gathered
// into common buffers; big ones are shared with the store and never copied. Fields are those of
// etcdserverpb (proto/rpc.proto), the header left out where Reply carries its revision.
//
// Threads: pure functions.

#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/parts.h"
#include "mvcc/store.h"

namespace keelson::apply {

// RangeResponse: kvs, more, count.
Parts range_body(const mvcc::RangeResult& result);
// A part of one that goes out in several: kvs alone. REQUIRES: the result has them, not the means
// to read them (mvcc::RangeResult::held).
Parts range_part_body(const mvcc::RangeResult& result);
// The count in a whole RangeResponse: a part that is the header, and behind it what range_body()
// wrote, whether its late parts are made or not.
int64_t range_count(const Parts& response);
// PutResponse: prev_kv (empty: none).
Parts put_body(const Bytes& prev_kv);
// DeleteRangeResponse: deleted, prev_kvs.
Parts delete_body(const mvcc::DeleteResult& result);

// A ResponseOp of a transaction: the response in field `op` (1 range, 2 put, 3 delete, 4 txn), with
// a header that holds nothing but `revision`, as etcd sends it.
Parts response_op(uint32_t op, int64_t revision, Parts body);
// TxnResponse: succeeded, responses. Each of `ops` is what response_op() returned.
Parts txn_body(bool succeeded, std::vector<Parts> ops);

}  // namespace keelson::apply
