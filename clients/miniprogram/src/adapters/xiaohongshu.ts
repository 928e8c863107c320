import type { Platform } from '../api'
import { likeWx } from './login'

/** The platform of a mini program of Xiaohongshu, from its global object `xhs`. */
export function xiaohongshu(xhs: Platform): Platform {
  return likeWx(xhs, 'xhs')
}
