// The headers of anther/data/ outside Anther's tree.
#include <anther/data/image.hpp>

int main() {
  return sizeof(anther::Error) > 0 ? 0 : 1;
}
