// The headers of anther/data/ outside Anther's tree.
#include <anther/data/vision/decode.hpp>

int main() {
  return sizeof(anther::Error) > 0 ? 0 : 1;
}
